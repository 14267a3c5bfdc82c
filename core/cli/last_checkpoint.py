"""The network of a run's last checkpoint, with a note if the run has trained further since."""

from typing import TYPE_CHECKING

from core.cli.output import note
from core.comparison.trained_further import is_before
from core.errors import UserError
from core.files.sanitize import sanitize
from core.runs import RunDirectory

if TYPE_CHECKING:
    from core.training.checkpoint import CheckpointName, LoadedModel


def load_last_checkpoint(
    run: RunDirectory, device: str, checkpoint: "CheckpointName" = "last"
) -> "LoadedModel":
    """Load the network of a run, and note its epoch if that is not the run's; imports torch.

    Checkpoints are written by time, so a run that is training or was killed has often trained further.

    Raises:
        UserError: see `core.training.checkpoint.load_model`.
    """
    from core.training.checkpoint import load_model  # torch takes seconds to import

    loaded = load_model(run, device, checkpoint=checkpoint)
    if checkpoint == "best":
        note(f"{sanitize(run.id)}: its best checkpoint, which is used, is of epoch {loaded.position.epoch}")
        return loaded
    try:
        status = run.read_status()
    except UserError:  # the network does not depend on it
        return loaded
    position = loaded.position
    if is_before(position, status):
        note(
            f"{sanitize(run.id)}: has trained {status.epoch} epochs; its last checkpoint, which is used, is of epoch "
            f"{position.epoch}"
        )
    return loaded
