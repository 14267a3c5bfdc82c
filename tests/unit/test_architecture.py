"""docs/architecture.md against the code: its tree, and the files of its walks."""

import re

from tests.support import ROOT
from tools.architecture_tree import DOCUMENT, TESTS, with_tree

TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_tree_is_that_of_the_code() -> None:
    assert with_tree(TEXT) == TEXT, "run python -m tools.architecture_tree"


def test_every_folder_of_tests_is_described() -> None:
    folders = {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert folders == set(TESTS)


def test_each_walk_enters_files_that_exist_and_each_once() -> None:
    walks = re.findall(r"^### Walk: (.+?)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert len(walks) == 3
    for title, body in walks:
        files = re.findall(r"^\d+\. `([\w/.]+\.py)`", body, re.MULTILINE)
        assert len(files) >= 5, title
        assert len(set(files)) == len(files), title
        assert [name for name in files if not (ROOT / name).is_file()] == [], title


def test_paths_in_the_documents_exist() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = {
        (document.name, path)
        for document in documents
        for path in re.findall(
            r"`((?:core|tui|bench|tests|tools)/[\w/.-]+\.\w+)`", document.read_text(encoding="utf-8")
        )
    }
    missing = {(name, path) for name, path in named if not (ROOT / path).exists()}
    assert {one for one in missing if not one[1].endswith("/x.py")} == set()
