"""Sets of torchvision by name, with a package that stands in for torchvision."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from core.cli.main import run as core
from core.data import load_dataset
from core.data.recipe import absolute_dataset, find_data_recipe
from core.errors import UserError

_FAKE = """
import os
import numpy as np
from PIL import Image

class MNIST:
    classes = ["0 - zero", "1 - one", "2 - two"]

    def __init__(self, root, train=True, transform=None, download=False):
        if download or not os.path.isdir(os.path.join(root, "MNIST", "raw")):
            raise RuntimeError("Dataset not found.\\nYou can use download=True to download it")
        self.length = 30 if train else 5

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return Image.fromarray(np.full((4, 4), 8 * index, np.uint8)), index % 3

def helper():
    pass
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the files of one set, and a torchvision that reads it."""
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "datasets.py").write_text(_FAKE)
    (tmp_path / "torchvision" / "MNIST" / "raw").mkdir(parents=True)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def test_a_set_of_torchvision_has_its_images_labels_and_names_and_is_exported_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = load_dataset("torchvision:MNIST", labels=True)
    assert (made.name, made.channels, made.size) == ("MNIST", 1, 4)
    assert made.classes == ("0 - zero", "1 - one", "2 - two")
    assert made.train_labels is not None
    assert len(made.train) + len(made.heldout) == 30
    np.testing.assert_array_equal(made.train_labels, made.train[:, 0, 0, 0] // 8 % 3)
    assert "torchvision.datasets" not in sys.modules
    monkeypatch.setattr("core.data.torchvision_set.subprocess.run", None)
    (home / "digits.toml").write_text('kind = "folder"\npath = "torchvision:MNIST"\n')
    for name in ("torchvision:MNIST", f"torchvision:{home}/torchvision/MNIST", "digits"):
        assert load_dataset(name).fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "torchvision:nowhere/MNIST",
            r"nowhere \(Dataset not found. You can .*\); expected them as .*MNIST\(",
        ),
        ("torchvision:MINST", "torchvision.datasets has no MINST"),
        ("torchvision:", "such as torchvision:MNIST"),
    ],
)
def test_what_torchvision_cannot_read_is_refused_in_a_line(home: Path, name: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_dataset(name)
    assert "\n" not in str(caught.value)
    assert list(home.rglob("*.npz*")) == []


def test_without_torchvision_a_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("core.data.torchvision_set.importlib.util.find_spec", lambda _: None)
    assert core(["data", "make", "torchvision:MNIST"]) == 2
    assert capsys.readouterr().err.endswith(f"run {sys.executable} -m pip install torchvision\n")


def test_a_run_stores_a_name_that_is_valid_in_every_folder(home: Path) -> None:
    assert absolute_dataset("torchvision:MNIST") == "torchvision:MNIST"
    stored = absolute_dataset("torchvision:sets/MNIST", home)
    assert stored == f"torchvision:{home}/sets/MNIST"
    assert find_data_recipe(stored).path == f"{home}/sets/MNIST.torchvision.npz"
