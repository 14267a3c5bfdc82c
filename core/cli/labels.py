"""Labels that a command asks for by name, and the worse network that guides another."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError, did_you_mean
from core.files.sanitize import sanitize
from core.runs import RunDirectory, RunStore

if TYPE_CHECKING:
    from core.training.checkpoint import LoadedModel


def labels_asked_for(
    asked: str | None, loaded: "LoadedModel", count: int, *, run: str
) -> NDArray[np.int64] | None:
    """Return the classes of samples, which take those asked for in turn: int64 [count]; None without labels.

    Args:
        asked: names of classes, separated by commas; None takes all classes of the network.
        loaded: the network.
        count: number of samples.
        run: name of the run, for the error message.

    Raises:
        UserError: the network knows no such class, or none at all.
    """
    classes = loaded.classes
    if asked is None:
        return np.arange(count) % len(classes) if classes else None
    if not classes:
        raise UserError(f"--label {asked}: {run} was trained without labels (data.labels)")
    names = [asked] if asked in classes else [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in classes:
            known = ", ".join(map(sanitize, classes[:20])) + (", ..." if len(classes) > 20 else "")
            hint = f"{did_you_mean(name, classes)} Known".lstrip()
            raise UserError(f"--label {asked}: no class {name!r}; {hint}: {known}")
    chosen = np.array([classes.index(name) for name in dict.fromkeys(names)], np.int64)
    return chosen[np.arange(count) % len(chosen)]


def load_weak(name: str, run: RunDirectory, loaded: "LoadedModel", device: str, root: Path) -> "LoadedModel":
    """Load the network that guides another (autoguidance).

    Args:
        name: `best`, the checkpoint of the run's best epoch; a file of weights, such as a copy of an earlier checkpoint
            of the run; or another run.
        run: the run that is guided.
        loaded: its network.
        device: device of the networks.
        root: folder of the runs.

    Raises:
        UserError: it cannot be loaded, or does not predict the same of the same images.
    """
    from core.training.checkpoint import load_model, load_weights  # torch takes seconds to import

    if name == "best":
        weak = load_model(run, device, checkpoint="best")
    elif name.endswith(".safetensors"):
        weak = load_weights(run, Path(name), device)
    else:
        weak = load_model(RunStore(root).find(name), device)
    same = (
        weak.shape == loaded.shape
        and weak.classes == loaded.classes
        and weak.diffusion.prediction_type == loaded.diffusion.prediction_type
        and np.array_equal(weak.diffusion.schedule.betas, loaded.diffusion.schedule.betas)
    )
    if not same:
        raise UserError(
            f"--autoguide {name}: differs from {sanitize(run.id)} in images, classes, noise schedule or prediction "
            "type; expected the same of both"
        )
    return weak
