"""Sources to pull from, and the loop that pulls again and again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.launch.following import MAX_PAUSE, follow
from core.launch.pull import Pulled
from core.launch.rsync import Rsync, Source


@pytest.mark.parametrize(
    ("text", "host", "folder"),
    [
        ("cluster:runs", "cluster", "runs"),
        ("me@login.cluster-1.edu:~/a/runs/", "me@login.cluster-1.edu", "~/a/runs"),
        ("[fe80::1]:/runs", "[fe80::1]", "/runs"),
        ("cluster:/", "cluster", "/"),
        ("./a:b", "", "a:b"),
        ("/mnt/a:b", "", "/mnt/a:b"),
    ],
)
def test_a_source_is_a_host_with_a_folder_or_a_path(text: str, host: str, folder: str) -> None:
    expected = folder if host else str(Path(folder).absolute())
    assert Source.parse(text) == Source(host, expected)


@pytest.mark.parametrize(
    "text",
    [
        *("-oProxyCommand=reboot:/a", "me@-h:/a", "h;reboot:/a", "h h:/a", ":/a", "h:", "", "$(reboot):/a"),
        *("h:/a;reboot", "h:$(reboot)", "h:`reboot`", "h:/a b", "h:a|b", "h:-a", "h::module", "rsync://h/a"),
    ],
)
def test_a_source_that_a_shell_or_ssh_could_misread_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"expected|make a link"):
        Source.parse(text)


def test_without_rsync_the_user_is_told_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="not installed here: apt install rsync"):
        Rsync(Source.parse("h:/a"))
    (tmp_path / "rsync").write_text("#!/bin/sh\necho 'openrsync: protocol version 29'\n")
    (tmp_path / "rsync").chmod(0o755)
    with pytest.raises(UserError, match=r"rsync 3\.1\.3 or later, got openrsync"):
        Rsync(Source.parse("h:/a"))


class FlakyPuller:
    """Puller that fails as often as told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def pull(self) -> Pulled:
        self.failures -= 1
        if self.failures >= 0:
            raise UserError("not reached")
        return Pulled()


def test_pauses_double_while_a_host_is_not_reached_and_are_short_again_afterwards() -> None:
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 9

    puller: Any = FlakyPuller(7)
    attempts: Iterator[Any] = follow(puller, 20.0, wait)
    seen = [(attempt.failures, attempt.recovered) for attempt in attempts]
    assert seen == [*((number, False) for number in range(1, 8)), (0, True), (0, False)]
    assert pauses == [40, 80, 160, 320, MAX_PAUSE, MAX_PAUSE, MAX_PAUSE, 20, 20]
