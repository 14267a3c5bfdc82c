"""Annotated tree of docs/architecture.md, written from the first sentence of each module's docstring.

``python -m tools.architecture_tree`` rewrites the tree in place. A test compares it with the code.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "architecture.md"
PACKAGES: Final = ("core", "tui", "bench", "tools")
TESTS: Final = {
    "unit": "A module each, at the path of the module that it tests",
    "tui": "Screens of the dashboard, driven by keys, and their snapshots",
    "cli": "Commands of core, in this process and as subprocesses",
    "e2e": "The program in a real terminal, in a browser's protocol, and as an installed wheel",
    "faults": "The fault harness of `make faults`, and a short form of it",
    "fuzz": "Readers of files on bytes changed at random",
    "slurm": "The engine `slurm` on a real Slurm of two nodes, where `install.sh` has unpacked one",
    "support": "Helpers that several tests share: fake runs, terminals, processes",
    "fixtures": "Files of earlier versions",
}
START: Final = "<!-- tree: python -m tools.architecture_tree -->"
END: Final = "<!-- end of tree -->"
COLUMN: Final = 34
"""Column at which descriptions begin."""


def first_sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, without its full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[^.])\.(?:\s|$)", paragraph)[0].replace("``", "`")


def tree_lines(folder: Path, depth: int = 0) -> Iterator[str]:
    """Yield one line for a package and, below it, for each of its modules and packages."""
    yield _line(f"{folder.name}/", depth, first_sentence(folder / "__init__.py"))
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield _line(path.name, depth + 1, first_sentence(path))
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        if any(path.rglob("*.py")):
            yield from tree_lines(path, depth + 1)


def _line(name: str, depth: int, text: str) -> str:
    return f"{'  ' * depth + name:<{COLUMN}} {text}".rstrip()


def tree() -> str:
    """Return the whole tree as a block of the document, between its two markers."""
    lines = [line for name in PACKAGES for line in tree_lines(ROOT / name)]
    lines += ["tests/", *(_line(f"{name}/", 1, text) for name, text in TESTS.items())]
    return "\n".join([START, "```", *lines, "```", END])


def with_tree(text: str) -> str:
    """Return the document with its tree replaced by the current one.

    Raises:
        ValueError: the document lacks the markers.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"expected the markers {START} and {END}")
    return before + tree() + after


def main() -> int:
    """Rewrite the document."""
    DOCUMENT.write_text(with_tree(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
