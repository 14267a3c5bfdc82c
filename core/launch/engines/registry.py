"""The engines by name. One is imported only when it is opened."""

from pathlib import Path

from core.config.launch import LaunchConfig
from core.launch.engines.base import Engine


def check_engine(config: LaunchConfig) -> None:
    """Check that an engine can be reached from this machine, before runs are queued for it.

    Raises:
        UserError: it cannot.
    """
    if config.engine == "slurm":
        from core.launch.engines.slurm_commands import require_command

        require_command("sbatch")


def open_engine(
    root: Path | str, config: LaunchConfig, *, device: str = "auto", slots: int | None = None
) -> Engine:
    """Return the engine that a configuration names, for a runs folder.

    Args:
        root: the runs folder.
        config: the engine and its settings.
        device: for the local engine.
        slots: for the local engine.
    """
    root = Path(root).absolute()
    if config.engine == "slurm":
        from core.launch.engines.slurm import SlurmEngine

        return SlurmEngine(root, config.slurm)
    if config.engine == "ray":
        from core.launch.engines.ray import RayEngine

        return RayEngine(root, config.ray)
    from core.launch.engines.local import LocalEngine

    return LocalEngine(root, device=device, slots=slots)
