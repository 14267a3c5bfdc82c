"""Names of runs and groups, made of characters that are neither paths nor escape codes."""

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from core.config.schema import RunConfig


def make_run_id(config: RunConfig, created: datetime) -> str:
    """Make the id of a run from UTC time, data, schedule, seed, and four random hex digits.

    For example ``20261124-101502-high-x1.5-s0-3f9a``.
    """
    stamp = created.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    schedule = _slug(config.schedule.name.replace("^", ""))
    return f"{stamp}-{_slug(config.data.title)}-{schedule}-s{config.train.seed}-{secrets.token_hex(2)}"


def unused_run_id(config: RunConfig, created: datetime, *folders: Path) -> str:
    """Make the id of a run that none of the folders has: a second has only 65,536 ids of runs that are alike."""
    while True:
        name = make_run_id(config, created)
        if not any(os.path.lexists(folder / name) for folder in folders):
            return name


def make_group(name: str, created: datetime | None = None) -> str:
    """Make the name of a group of runs that are queued together, for example ``quick-20261124-101502``."""
    return f"{_slug(name)}-{(created or datetime.now(UTC)).astimezone(UTC).strftime('%Y%m%d-%H%M%S')}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:32] or "run"
