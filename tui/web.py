"""Dashboard in a browser: `ddpm-tui --web` serves it through textual-serve, which the extra `web` installs.

Anyone who reaches the port controls the runs. So the server listens on this machine alone by default. Browsers let any
page talk to ports of the user's own machine, so requests of other sites' pages are rejected.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from core.errors import UserError
from core.launch.subprocess_env import child_environment, module_command
from tui.textual_ext.compat import add_middleware

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARD_HOSTS: Final = frozenset({"0.0.0.0", "::", ""})
REQUIREMENT: Final = "textual-serve>=1.1.3,<1.2"
FOCUS_SCRIPT: Final = """<script>
(function focusTerminal() {
  const keyboard = document.querySelector(".xterm-helper-textarea");
  if (keyboard) keyboard.focus();
  else setTimeout(focusTerminal, 50);
})();
</script>
"""
"""Gives the keyboard to the terminal of the page as soon as there is one, which textual-serve leaves to a click."""


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of the dashboard."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse `PORT` or `HOST:PORT`.

        Raises:
            UserError: the text is neither, or the host is no address that a browser could open.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") if ":" in text else "localhost"
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise UserError(f"--at {text}: expected PORT or HOST:PORT, such as localhost:8000")
        if host in _WILDCARD_HOSTS:
            raise UserError(f"--at {text}: name the address that browsers shall use, such as localhost:8000")
        return cls(host, int(port))

    @property
    def is_private(self) -> bool:
        """True if only this machine reaches it."""
        return self.host in LOOPBACK


def reject_reason(address: Address, host: str, origin: str | None) -> str:
    """The reason to reject a request; empty to accept it.

    Args:
        address: address of the dashboard.
        host: the request's header `Host`: the address that the page has for the dashboard.
        origin: the request's header `Origin`: the site of the page; None when no browser sent the request.
    """
    name = urlsplit(f"//{host}").hostname or ""
    allowed = LOOPBACK if address.is_private else {address.host.lower()}
    if name not in allowed:
        return f"this is {address.host}, not {name}"
    if origin is not None and urlsplit(origin).netloc != host:
        return "pages of other sites may not control the dashboard"
    return ""


def focused_page(page: str) -> str:
    """The page of the dashboard, with the keyboard's focus in its terminal from the start.

    >>> focused_page("<body></body>").count("<script>"), focused_page("not found")
    (1, 'not found')
    """
    before, end, after = page.rpartition("</body>")
    return f"{before}{FOCUS_SCRIPT}{end}{after}" if end else page


def serve(address: Address, arguments: Sequence[str]) -> None:
    """Serve the dashboard until ctrl+c; each browser window gets a dashboard of its own.

    Args:
        address: address to serve at.
        arguments: arguments of `ddpm-tui`; a dashboard that a server has started ignores `--web`.

    Raises:
        UserError: textual-serve is missing or cannot be guarded, or the port is not available.
    """
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        python = f"{sys.executable}"
        install = shlex.join([python, "-m", "pip", "install", REQUIREMENT])
        raise UserError(f"--web needs textual-serve; install it with: {install}") from error

    # Without `exec` a shell may stay between the server and the dashboard.
    os.environ.update(child_environment())
    command = "exec " + shlex.join(module_command("tui", *arguments))
    shown = f"[{address.host}]" if ":" in address.host else address.host
    server = Server(
        command, address.host, address.port, title="ddpm-tui", public_url=f"http://{shown}:{address.port}"
    )

    async def guard(request: Any, handler: Any) -> Any:
        if reason := reject_reason(address, request.host, request.headers.get("Origin")):
            raise web.HTTPForbidden(text=reason)
        response = await handler(request)
        if isinstance(response, web.Response) and response.content_type == "text/html" and response.text:
            response.text = focused_page(response.text)
        return response

    add_middleware(server, web.middleware(guard))
    if not address.is_private:
        print(f"anyone who reaches {address.host}:{address.port} controls these runs", file=sys.stderr)
    try:
        server.serve()
    except OSError as error:
        raise UserError(f"--at {address.host}:{address.port}: {error.strerror or error}") from error
