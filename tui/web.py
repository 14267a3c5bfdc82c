"""The dashboard in a browser: `ddpm-tui --web`, by way of textual-serve, which comes with the extra `web`.

Whoever reaches the port controls the runs. So it is bound to this machine alone unless told otherwise, and pages of
other sites, which a browser lets talk to any port of one's own machine, are turned away.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from core.errors import UserError
from tui.textual_ext.compat import add_middleware

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARD_HOSTS: Final = frozenset({"0.0.0.0", "::", ""})


@dataclass(frozen=True, slots=True)
class Address:
    """Where browsers find the dashboard."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `PORT` or `HOST:PORT`.

        Raises:
            UserError: it is neither, or the host is no address that a browser could go to.
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
        """Whether only this machine reaches it."""
        return self.host in LOOPBACK


def reject_reason(place: Address, host: str, origin: str | None) -> str:
    """Why a request is turned away; empty when it is not.

    Args:
        place: where we are.
        host: the request's header `Host`: what its page believes us to be.
        origin: its header `Origin`: whose page it is; None when no browser sent it.
    """
    name = urlsplit(f"//{host}").hostname or ""
    allowed = LOOPBACK if place.is_private else {place.host.lower()}
    if name not in allowed:
        return f"this is {place.host}, not {name}"
    if origin is not None and urlsplit(origin).netloc != host:
        return "pages of other sites may not control the dashboard"
    return ""


def serve(place: Address, arguments: Sequence[str]) -> None:
    """Serve the dashboard until ctrl+c; each browser window gets a dashboard of its own.

    Args:
        place: where.
        arguments: of `ddpm-tui`; where a server has started it, `--web` changes nothing.

    Raises:
        UserError: textual-serve is not installed, or the port cannot be had.
    """
    try:
        from aiohttp import web
        from textual_serve.server import Server
    except ImportError as error:
        raise UserError("--web needs textual-serve; install it with: pip install 'ddpm-tui[web]'") from error

    # Without `exec` a shell may stay between the server and the dashboard.
    command = "exec " + shlex.join([sys.executable, "-m", "tui", *arguments])
    shown = f"[{place.host}]" if ":" in place.host else place.host
    server = Server(
        command, place.host, place.port, title="ddpm-tui", public_url=f"http://{shown}:{place.port}"
    )

    async def guard(request: Any, handler: Any) -> Any:
        if reason := reject_reason(place, request.host, request.headers.get("Origin")):
            raise web.HTTPForbidden(text=reason)
        return await handler(request)

    add_middleware(server, web.middleware(guard))
    if not place.is_private:
        print(f"anyone who reaches {place.host}:{place.port} controls these runs", file=sys.stderr)
    try:
        server.serve()
    except OSError as error:
        raise UserError(f"--at {place.host}:{place.port}: {error.strerror or error}") from error
