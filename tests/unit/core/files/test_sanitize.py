"""Text of files cannot affect a terminal."""

import pytest

from core.files.sanitize import LINE_LIMIT, sanitize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain 文字 ✖ é", "plain 文字 ✖ é"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mtrue\x1b[m", "true"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed\nnext", " next"),
        ("\x1bPdevice control\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("\x1b(0line drawing", "line drawing"),
        ("\x1b[", ""),
        ("\x1b", ""),
        ("\x9b31mC1", "31mC1"),
        ("a\x00b\x07c\x08d\x7fe", "abcde"),
        ("a\r\nb\nc\rd\te\x0bf\x0cg\x85h\u2028i", "a b c d e f g h i"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("\u2066left\u2069 \u200eto\u200f \u061cright", "left to right"),
        ("tag\U000e0041s \ufff9annotated", "tags annotated"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("name\udcff", "name?"),
        ("\x1b\x1b[31mtwice", "twice"),
    ],
)
def test_control_and_escape_codes_are_removed(text: str, expected: str) -> None:
    assert sanitize(text) == expected


def test_a_log_keeps_its_lines() -> None:
    assert sanitize("one\r\n\ttwo\rthree\n", lines=True) == "one\n    two\nthree\n"


def test_a_line_is_shortened_in_its_middle_and_a_log_is_not() -> None:
    long = "begin " + "x" * 2000 + " end"
    short = sanitize(long)
    assert len(short) == LINE_LIMIT
    assert (short[:6], short[-4:]) == ("begin ", " end")
    assert " ... " in short
    assert sanitize(short) == short
    assert sanitize(long, limit=0) == sanitize(long, lines=True) == long
    for limit in range(1, 40):
        assert len(sanitize(long, limit=limit)) == limit


def test_sanitized_text_can_always_be_printed() -> None:
    everything = "".join(map(chr, range(0x3000))) + "\ud800\udfff"
    for lines in (False, True):
        left = sanitize(everything, lines=lines)
        left.encode()
        assert all(
            character.isprintable() or character in " \n" for character in left if ord(character) < 0xA0
        )
