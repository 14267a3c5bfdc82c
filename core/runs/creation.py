"""Creation of many runs at once: all or none, and flushed to the disk together."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from core.config import RunConfig
from core.errors import UserError
from core.files.atomic import fsync_paths
from core.runs.directory import RunDirectory
from core.runs.naming import unused_run_id


def create_runs(
    root: Path,
    configs: Iterable[RunConfig],
    *,
    group: str,
    provenance: Mapping[str, str] | None = None,
    tags: tuple[str, ...] = (),
    engine: str = "local",
) -> list[RunDirectory]:
    """Create queued runs, all or none.

    They are written to a hidden folder, flushed to the disk together, and then renamed. A flush waits for the disk, and
    a thousand of them at once take hardly longer than a few.

    Args:
        root: the runs folder, which exists.
        configs: one for each run, in the order of their creation.
        group: as for `RunDirectory.create`.
        provenance: as for `RunDirectory.create`.
        tags: as for `RunDirectory.create`.
        engine: as for `RunDirectory.create`.

    Raises:
        UserError: the folder cannot be written.
    """
    hidden = root / f".new-group-{secrets.token_hex(6)}"
    created: list[RunDirectory] = []
    try:
        drafts = []
        for config in configs:
            now = datetime.now(UTC)
            draft = RunDirectory.create(
                hidden,
                config,
                group=group,
                provenance=provenance,
                tags=tags,
                created=now,
                run_id=unused_run_id(config, now, root, hidden),
                engine=engine,
                fsync=False,
            )
            drafts.append(draft)
        fsync_paths(path for run in drafts for path in (run.run_file, run.status_file, run.path))
        for draft in drafts:
            run = RunDirectory(root / draft.id)
            if os.path.lexists(run.path):
                raise UserError(f"{run.path}: exists already, so no run can be made under this name")
            os.rename(draft.path, run.path)
            created.append(run)
        fsync_paths([root])
    except BaseException as error:
        for run in created:
            with contextlib.suppress(UserError):
                shutil.rmtree(run.move_to_trash(), ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(f"{root}: cannot make a run there ({error.strerror or error})") from error
        raise
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return created
