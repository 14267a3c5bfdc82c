"""Edits of the user's own TOML files: one key changes and nothing is lost."""

from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.tables import flatten
from core.errors import UserError
from tui.settings.toml_edit import edited, set_value

MINE = """\
# my keys
"run.stop" = "s"  # as in stop
run.resume = ["r",
  "ctrl+r"]

# of the board
[board]
up = "k"
note = "a = b # no comment"
"""


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("run.stop", "x", '"run.stop" = "s"  # as in stop', '"run.stop" = "x"  # as in stop'),
        ("run.stop", None, '"run.stop" = "s"  # as in stop', "# as in stop"),
        ("run.resume", "R", 'run.resume = ["r",\n  "ctrl+r"]', '"run.resume" = "R"'),
        ("run.resume", None, 'run.resume = ["r",\n  "ctrl+r"]\n', ""),
        ("board.up", ["w", "up"], 'up = "k"', 'up = ["w", "up"]'),
        ("board.note", 'quote " and \\', 'note = "a = b # no comment"', 'note = "quote \\" and \\\\"'),
        ("zoom", 2, '  "ctrl+r"]\n', '  "ctrl+r"]\nzoom = 2\n'),
    ],
)
def test_one_line_changes_and_all_others_stay_as_they_are(
    key: str, value: object, old: str, new: str
) -> None:
    assert old in MINE
    assert edited(MINE, key, value, source="") == MINE.replace(old, new)  # type: ignore[arg-type]  # a parameter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "zoom = 2\n"),
        ("# only this", "# only this\nzoom = 2\n"),
        ("# only this\n", "# only this\nzoom = 2\n"),
        ("a = 1\r\nb = 2\r\n", "a = 1\r\nb = 2\r\nzoom = 2\r\n"),
        ("# top\n\n# of a\n[a]\nb = 1\n", "# top\n\nzoom = 2\n# of a\n[a]\nb = 1\n"),
        ("[[many]]\nzoom = 1\n", "zoom = 2\n[[many]]\nzoom = 1\n"),
    ],
)
def test_a_new_key_goes_where_no_header_claims_it(text: str, expected: str) -> None:
    assert edited(text, "zoom", 2, source="") == expected


def test_a_key_that_cannot_be_changed_alone_is_refused() -> None:
    text = 'run = { stop = "s", resume = "r" }'
    with pytest.raises(UserError, match=r"keys\.toml: run\.stop stands there together"):
        edited(text, "run.stop", "x", source="keys.toml")


NAMES = st.sampled_from(["a", "b", "c.d", "c.e", "f.g.h"])
VALUES = st.one_of(
    st.text(max_size=4), st.integers(0, 9), st.booleans(), st.lists(st.text(max_size=3), min_size=1)
)


@settings(max_examples=50)
@given(st.dictionaries(NAMES, VALUES), NAMES, st.none() | VALUES)
def test_whatever_is_set_reads_back_and_the_rest_with_it(
    table: dict[str, object], key: str, value: object
) -> None:
    text = "# first\n"
    for name, old in table.items():
        text = edited(text, name, old, source="")  # type: ignore[arg-type]  # one of the values above
    new = edited(text, key, value, source="")  # type: ignore[arg-type]  # one of the values above
    assert new.startswith("# first\n")
    expected = {name: old for name, old in table.items() if name != key}
    assert flatten(tomli.loads(new)) == (expected if value is None else expected | {key: value})


def test_a_link_stays_a_link_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    file, link = tmp_path / "dotfiles.toml", tmp_path / "keys.toml"
    file.write_text("a = 1\n", encoding="utf-8")
    file.chmod(0o600)
    link.symlink_to(file)
    set_value(link, "b", 2)
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == "a = 1\nb = 2\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dotfiles.toml", "keys.toml"]


def test_taking_a_key_out_of_no_file_makes_none(tmp_path: Path) -> None:
    set_value(tmp_path / "new" / "keys.toml", "a", None)
    assert not (tmp_path / "new").exists()
    set_value(tmp_path / "new" / "keys.toml", "a", "b")
    assert (tmp_path / "new" / "keys.toml").read_text(encoding="utf-8") == 'a = "b"\n'


@pytest.mark.parametrize("content", [b"a = ", b"a = '\xff'"])
def test_a_damaged_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys.toml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"keys\.toml: not valid TOML"):
        set_value(file, "a", 1)
    assert file.read_bytes() == content


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (Path("/proc/nowhere/keys.toml"), loop):
        with pytest.raises(UserError, match="cannot be"):
            set_value(path, "a", 1)
