"""Dashboard in a browser: addresses, rejected requests, and the program under textual-serve's protocol."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import EXIT_USAGE, UserError
from tests.support.fake_groups import comparison
from tui.__main__ import main
from tui.terminal.watchdog import EXIT_HUNG_UP
from tui.web import FOCUS_SCRIPT, Address, reject_reason

DEADLINE = 60.0
HERE = Address("localhost", 8000)
ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][0-9A-Z]|[=>78])")


class Served:
    """The dashboard as textual-serve starts it: packets in, packets out."""

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
            "TEXTUAL_COLOR_SYSTEM": "truecolor",
            "COLUMNS": "100",
            "ROWS": "30",
            "TERM": "dumb",
            "XDG_CONFIG_HOME": str(folder / "nothing"),
            "XDG_STATE_HOME": str(folder / "nothing"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui", "--web"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.painted = b""
        self.meta: list[dict[str, object]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, kind: bytes, payload: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(kind + len(payload).to_bytes(4, "big") + payload)
        self.process.stdin.flush()

    def shows(self, *texts: str) -> None:
        self.until(lambda: all(text.encode() in ESCAPES.sub(b"", self.painted) for text in texts))

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > deadline or not self._reader.is_alive():
                raise AssertionError(f"waited in vain after {self.painted[-300:]!r}")
            self._reader.join(0.02)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        out = self.process.stdout
        assert out is not None
        assert out.readline() == b"__GANGLION__\n"
        while header := out.read(5):
            payload = out.read(int.from_bytes(header[1:], "big"))
            if header[:1] == b"D":
                self.painted += payload
            else:
                self.meta.append(json.loads(payload))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    comparison(tmp_path / "runs", "running")
    program = Served(tmp_path)
    try:
        yield program
    finally:
        program.close()


def test_a_browser_sees_the_board_and_its_keys_work(served: Served) -> None:
    served.shows("linear", "37/100", "q quit")
    served.send(b"D", b"?")
    served.shows("Select the run above")
    served.painted = b""
    served.send(b"M", json.dumps({"type": "resize", "width": 160, "height": 50}).encode())
    served.until(lambda: b"\x1b[50;" in served.painted)
    served.send(b"M", b'{"type": "quit"}')
    assert served.process.wait(DEADLINE) == 0
    served._reader.join(DEADLINE)
    assert {"type": "exit"} in served.meta
    assert served.process.stderr is not None
    assert served.process.stderr.read() == b""


def test_a_dashboard_whose_server_is_killed_leaves(served: Served) -> None:
    served.shows("linear", "q quit")
    assert served.process.stdin is not None
    served.process.stdin.close()
    assert served.process.wait(DEADLINE) == EXIT_HUNG_UP


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("8001", Address("localhost", 8001)),
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("[::1]:9", Address("::1", 9)),
        ("gpu-7.example:8000", Address("gpu-7.example", 8000)),
    ],
)
def test_a_place_is_a_port_or_a_host_and_a_port(text: str, place: Address) -> None:
    assert Address.parse(text) == place
    assert place.is_private == (place.host != "gpu-7.example")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected PORT or HOST:PORT"),
        ("localhost", "expected PORT or HOST:PORT"),
        ("localhost:", "expected PORT or HOST:PORT"),
        ("localhost:0", "expected PORT or HOST:PORT"),
        ("localhost:65536", "expected PORT or HOST:PORT"),
        ("localhost:²", "expected PORT or HOST:PORT"),
        ("0.0.0.0:8000", "name the address that browsers shall use"),
        (":8000", "name the address that browsers shall use"),
        ("[::]:8000", "name the address that browsers shall use"),
    ],
)
def test_other_places_are_refused_in_one_line(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--web", "--at", text]) == EXIT_USAGE
    assert f"error: --at {text}: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "host", "origin", "allowed"),
    [
        (HERE, "localhost:8000", None, True),
        (HERE, "127.0.0.1:8000", "http://127.0.0.1:8000", True),
        (HERE, "[::1]:8000", "http://[::1]:8000", True),
        (HERE, "localhost:8000", "http://evil.example", False),
        (HERE, "localhost:8000", "http://localhost:3000", False),
        (HERE, "localhost:8000", "null", False),
        (HERE, "evil.example:8000", "http://evil.example:8000", False),
        (HERE, "", None, False),
        (Address("gpu-7", 8000), "GPU-7:8000", "http://GPU-7:8000", True),
        (Address("gpu-7", 8000), "gpu-7:8000", "http://evil.example", False),
        (Address("gpu-7", 8000), "evil.example:8000", None, False),
    ],
)
def test_only_its_own_page_may_control_it(
    place: Address, host: str, origin: str | None, allowed: bool
) -> None:
    assert (reject_reason(place, host, origin) == "") == allowed


def test_without_textual_serve_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    from tui.web import serve

    with pytest.raises(UserError) as caught:
        serve(HERE, ["--web"])
    command = shlex.split(str(caught.value).partition("install it with: ")[2])
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert command[4:] == project["project"]["optional-dependencies"]["web"]


def test_the_page_gives_the_keyboard_to_its_terminal(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = subprocess.Popen(
        [sys.executable, "-m", "tui", "--web", "--at", f"127.0.0.1:{port}"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        page = fetched(f"http://127.0.0.1:{port}/", program)
        assert page.index('id="terminal"') < page.index(FOCUS_SCRIPT) < page.index("</body>")
        script = fetched(f"http://127.0.0.1:{port}/static/js/textual.js", program)
        assert "xterm-helper-textarea" in FOCUS_SCRIPT
        assert "xterm-helper-textarea" in script
        assert "<script>" not in script
    finally:
        program.kill()
        program.wait()


def fetched(url: str, program: subprocess.Popen[bytes]) -> str:
    """A page of a server that may still be starting."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE) as response:  # on this machine
                return str(response.read().decode())
        except OSError:
            if time.monotonic() > deadline or program.poll() is not None:
                raise
            time.sleep(0.05)
