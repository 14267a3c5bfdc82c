"""Vocabulary: one word for each concept in identifiers and prose, and docstrings that begin with their subject.

CONTRIBUTING.md has the rules. `RETIRED` are names that once stood for what the field calls otherwise.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support import ROOT

PACKAGES: Final = ("core", "tui", "bench", "tools", "tests")
MAX_LINES: Final = 400

WORDS: Final = (
    *(
        "anew",
        "foresee",
        "foresees",
        "foreseen",
        "foresaw",
        "learnt",
        "mend",
        "mended",
        "mends",
        "roster",
        "tally",
    ),
    *("judge", "judged", "judges", "judging", "judgement", "judgements", "somebody", "troubles", "whoever"),
    *("picture", "pictures", "person", "persons"),
)
"""Words that another one replaces: evaluate, image, user, predict, trained, and so on."""
PHRASES: Final = re.compile(r"\b(for ever|a person)\b", re.IGNORECASE)
RETIRED: Final = frozenset(
    re.findall(
        r"\w+",
        """
    Thin thinned rate_of_line Painted Pen Look of_space most_wrong by_look hang hang_pictures lifted
    SettledApp GuidedApp Told WAYS_OUT SightApp follow_keys Drawing DrawingApp draw_pictures Drawn Roster
    sift list_again Tally gone_on RunChoice LiveReader JudgedFile Arrangement Bench Trying Tried Browsing
    Making Way Ways walk_of NameLine TopLine bridged patterned halved Piece foresee visited_of clip_x0
    CHURN_FROM Team _Processes gathered pend drains abandon _say _beat _bury _note_death TimestepSource
    keep_freed_memory noise_on_the_way anchored _Crew Judge open_plain Walk ActingScreen perform PictureSet
    PictureCache NotAPictureError PictureMode
        """,
    )
)
"""Identifiers of an earlier version, each of which has a standard term now."""
QUESTIONS: Final = ("What", "How", "Whether", "Where", "Why", "Who", "Which")

ALLOWED: Final = {
    # Names that users know: options, arguments, settings and keys of files.
    "core/cli/denoise.py": {"picture"},
    "core/cli/figures.py": {"picture"},
    "core/cli/report.py": {"picture"},
    "tests/e2e/test_readme_pictures.py": {"readme_pictures"},
    "tui/__main__.py": {"pictures"},
    "tui/app/settings_app.py": {"pictures"},
    "tui/settings/schema.py": {"pictures"},
    "tui/settings/store.py": {"pictures"},
    "tests/support/before_house_interface.py": {"pictures"},
    "tests/tui/test_kitty.py": {"pictures"},
    "tests/tui/test_render_mode.py": {"pictures"},
    "tests/unit/tui/settings/test_settings.py": {"pictures"},
    "tests/unit/test_vocabulary.py": set(WORDS) | RETIRED,
}


def modules_of(package: str) -> list[Path]:
    """List the modules of a package, without fixtures of other versions."""
    return sorted(path for path in (ROOT / package).rglob("*.py") if "fixtures" not in path.parts)


def relative(path: Path) -> str:
    """Return a module's path from the checkout."""
    return path.relative_to(ROOT).as_posix()


def segments(identifier: str) -> list[str]:
    """Split an identifier into lower-case words.

    >>> segments("NotAnImageError"), segments("_evaluated_at")
    (['not', 'an', 'image', 'error'], ['evaluated', 'at'])
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    return [word for word in spaced.lower().split("_") if word]


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Yield each name in a module with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield each docstring and comment of a module with its line, without what is quoted as code."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], _without_code(token.string)
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, _without_code(node.value.value)


def _without_code(text: str) -> str:
    text = re.sub(r"^\s*(>>>|\.\.\.).*$", "", text, flags=re.MULTILINE)
    return re.sub(r"``[^`]*``|`[^`]*`|\"[^\"]*\"|--\w+|[\w/.-]+/[\w/.-]+|\*[^*]+\*", "", text)


def faults(source: str, allowed: frozenset[str] = frozenset()) -> list[str]:
    """List what a module says in retired words, as ``line: word``."""
    found = []
    for line, name in identifiers(source):
        if name in allowed:
            continue
        if name in RETIRED:
            found.append(f"{line}: {name}")
        found += [f"{line}: {word} in {name}" for word in segments(name) if word in WORDS]
    for line, text in prose(source):
        found += [
            f"{line}: {word}"
            for word in re.findall(r"\w+", text)
            if word.lower() in WORDS and word not in allowed
        ]
        found += [f"{line}: {match}" for match in PHRASES.findall(text)]
    return found


def riddles(source: str) -> list[str]:
    """List the docstrings that begin with a question word, as ``line: docstring``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            if docstring.split(" ")[0] in QUESTIONS:
                found.append(f"{getattr(node, 'lineno', 1)}: {docstring.splitlines()[0]}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_uses_the_fields_words(package: str) -> None:
    found = {}
    for path in modules_of(package):
        allowed = frozenset(ALLOWED.get(relative(path), ()))
        found[relative(path)] = faults(path.read_text(encoding="utf-8"), allowed)
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_begin_with_a_noun_or_a_verb(package: str) -> None:
    found = {relative(path): riddles(path.read_text(encoding="utf-8")) for path in modules_of(package)}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    lines = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for package in PACKAGES
        for path in modules_of(package)
    }
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("foreseen = 1", True),
        ("def judge_samples(): ...", True),
        ("class PictureSet: ...", True),
        ("class Team: ...", True),
        ("'''The runs that somebody judged.'''", True),
        ("x = 1  # kept for ever", True),
        ("'''Judges a run.'''", True),
        ("team = 1", False),
        ("'''Evaluate a run, as `judge` did.'''", False),
        ("print('judge')", False),
        ("image = sharpened(image)", False),
    ],
)
def test_retired_words_are_caught(source: str, caught: bool) -> None:
    assert bool(faults(source)) is caught


def test_docstrings_that_begin_with_a_question_word_are_caught() -> None:
    assert riddles("def f():\n    '''What a run says.'''") == ["1: What a run says."]
    assert riddles("def f():\n    '''Text of a run.'''") == []
