"""Shared parts of fuzz tests: the number of inputs, and slightly mutated bytes.

``FUZZ_EXAMPLES=5000 pytest tests/fuzz`` tries 5000 random inputs each. The suite tries a few, the same each time, so
that it never fails by chance.
"""

import os
from collections.abc import Callable
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from core.errors import UserError

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "0"))

fuzzed = settings(
    max_examples=EXAMPLES or 30,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
"""Settings for functions that take well under a millisecond."""
slowly_fuzzed = settings(fuzzed, max_examples=max(10, EXAMPLES // 4))
"""Settings for slower functions."""

_TOKENS: Final = [
    b'"',
    b"{",
    b"}",
    b"[" * 3000,
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 5000,
    b"\xff\xfe",
    b"\n",
    b"\0",
    b'"\\u001b[31m"',
    b"-0.0",
    b"1e308",
    b"18446744073709551616",
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
    b",",
]


@st.composite
def mutated(draw: st.DrawFn, originals: tuple[bytes, ...]) -> bytes:
    """One of the originals with some mutations: flipped bits, cuts, repetitions, and tokens that are hard to parse."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        offset = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if offset < len(data):
                data[offset] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[offset:]
            case 2:
                length = draw(st.integers(1, 64))
                data[offset:offset] = data[max(0, offset - length) : offset]
            case 3:
                data[offset:offset] = draw(st.binary(max_size=16))
            case _:
                token = draw(st.sampled_from(_TOKENS))
                data[offset : offset + draw(st.integers(0, 12))] = token
    return bytes(data)


def error_message(call: Callable[[], object], *, error: type[Exception] = UserError) -> str:
    """The message of the error that a call raises, without a traceback; empty if it raises none."""
    try:
        call()
    except error as raised:
        message = str(raised)
    else:
        return ""
    assert message.strip()
    assert "Traceback" not in message
    return message


odd_text = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "..",
        "../../etc",
        "/",
        "\0",
        "\x1b[31mred",
        "~nobody",
        "x^",
        "x^nan",
        "x^1e400",
        "nan",
        "a" * 3000,
        "\udcff",
        ".",
    ]
)
odd_number = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 1, 2**31, 2**32, 2**53, 2**63, 2**64, 10**400, 1e-320, 1e308]),
)
odd_value = st.recursive(
    odd_text | odd_number | st.booleans() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
