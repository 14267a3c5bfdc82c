"""Record of the inputs that a training must keep to its end; stored in the run's status and in its checkpoints."""

from typing import Any, Final

import msgspec

from core.config.schema import RunConfig
from core.config.tables import flatten

_FIXED: Final = (
    *("data.count", "data.centre", "data.labels", "diffusion.prediction_type", "model.preset", "model.width"),
    *("model.layout", "model.seamless"),
    *("train.batch_size", "train.optimizer", "train.seed"),
)
_FIXED_SECTION: Final = "schedule."
_BETAS_FILE: Final = "schedule.file"


class TrainedWith(msgspec.Struct, frozen=True, kw_only=True):
    """Images, betas and settings that a training started with.

    `dataset` is `data.dataset`, `fingerprint` names the set in the cache, and `pixels` is a hash of its images.
    `train`, `heldout`, `channels` and `size` are counts and the shape [channels, size, size]. `betas` is a hash of the
    file of betas, empty without one. `settings` holds the settings that a checkpoint depends on. `torch` and `device`
    are the version of PyTorch and the kind of device, which decide the last bits. `precision` is ``fp32``, ``tf32`` or
    ``bf16``, as it ran. An empty value is unknown.
    """

    dataset: str = ""
    fingerprint: str = ""
    pixels: str = ""
    train: int = 0
    heldout: int = 0
    channels: int = 0
    size: int = 0
    notes: tuple[str, ...] = ()
    """Notes on the images, for example that files were skipped."""
    betas: str = ""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    torch: str = ""
    device: str = ""
    precision: str = ""
    classes: tuple[str, ...] = ()
    """Names of the classes in order of index; empty without labels."""
    labels: str = ""
    """Hash of the labels of all images; empty without labels."""

    @property
    def images_text(self) -> str:
        """Counts and shape of the images, for messages."""
        return images_text(self.train, self.heldout, self.channels, self.size)


def images_text(train: int, heldout: int, channels: int, size: int) -> str:
    """Describe counts and shape of a set of images.

    >>> images_text(108, 12, 1, 32)
    '108 training images and 12 held-out ones, 32x32 in grey'
    """
    images = (
        f"{train:,} training image{'s' * (train != 1)} and {heldout:,} held-out one{'s' * (heldout != 1)}"
    )
    return f"{images}, {size}x{size} in {'colour' if channels == 3 else 'grey'}"


def fixed_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that a checkpoint depends on, by dotted key."""
    settings = flatten(msgspec.to_builtins(config.resolved()))
    return {
        key: value
        for key, value in settings.items()
        if key in _FIXED or (key.startswith(_FIXED_SECTION) and key != _BETAS_FILE)
    }
