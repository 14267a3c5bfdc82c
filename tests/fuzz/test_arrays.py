"""Arrays, trajectories and small JSON files, changed at random: read, or rejected in one line."""

import contextlib
import io
import math
import os
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from core.data.cache import open_set
from core.data.sets import load_dataset
from core.errors import UserError
from core.evaluation.files import read_images
from core.evaluation.triangle_fit.cache import cached_fits
from core.evaluation.triangle_fit.fit import TriangleFits
from core.files.untrusted import open_regular, read_npy
from core.launch.runner_lock import RunnerInfo, read_runner
from core.runs import ProcessIdentity, RunDirectory
from core.runs.overlay import Overlay, pixels_hash, read_overlay
from core.runs.trajectory import Progress, Trajectory, TrajectorySpec, read_trajectory_progress
from core.schedules import make_schedule
from tests.support.fuzzing import error_message, fuzzed, mutated, slowly_fuzzed
from tui.settings.keymap import read_keymap

HEADERS = [
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4, 4), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (9,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999), }",
    b"{'descr': '<f8', 'fortran_order': True, 'shape': (-4,), }",
    b"{'descr': ((('<f8',),),), 'shape': ()}",
    b"{'descr': '<f8', 'shape': (1, 'a'), 'fortran_order': 3}",
    b"(" * 300,
    b"'" * 7,
    b"\t\n  x\n y",
    b"{",
    b"[{'descr'",
    b"9" * 5000,
]


@cache
def arrays() -> tuple[bytes, ...]:
    made = []
    for array in (
        np.full(4, 0.1),
        np.zeros((3, 4, 4), np.uint8),
        np.ones((2, 1, 4, 4), ">f2"),
        np.array(["a"]),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        made.append(buffer.getvalue())
    return tuple(made)


npy = mutated(arrays()) | st.builds(
    lambda version, header, body: (
        b"\x93NUMPY"
        + bytes([version, 0])
        + len(header).to_bytes(2 if version == 1 else 4, "little")
        + header
        + body
    ),
    st.integers(0, 4),
    st.sampled_from(HEADERS) | mutated(tuple(HEADERS)),
    st.binary(max_size=64),
)
"""Array files: intact, changed, or with a malicious header."""


@fuzzed
@given(npy)
@pytest.mark.filterwarnings("error")
def test_any_file_of_an_array_is_images_betas_or_a_line_of_words(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.npy"
    file.write_bytes(data)
    words = error_message(lambda: make_schedule("custom", timesteps=4, file=str(file)))
    assert not words or (str(file) in words and "\n" not in words)
    words = error_message(lambda: read_images(file))
    assert not words or (str(file) in words and "\n" not in words)
    if not words:
        assert read_images(file).nbytes <= 4 * len(data)


@cache
def drawn() -> tuple[Path, str, tuple[Path, ...], tempfile.TemporaryDirectory[str]]:
    """A small set of triangles in a temporary folder, its fingerprint and its files."""
    home = tempfile.TemporaryDirectory(prefix="fuzz-")
    images = load_dataset("high", count=4, heldout=2, data_dir=Path(home.name), workers=1)
    folder = images.path
    record = (folder / "recipe.toml").read_text()
    mark = record.partition('fingerprint = "')[2].partition('"')[0]
    return folder, mark, tuple(sorted(folder.iterdir())), home


@slowly_fuzzed
@given(st.data())
@pytest.mark.filterwarnings("error")
def test_a_set_of_images_with_changed_files_is_complete_or_made_again(data: st.DataObject) -> None:
    folder, mark, files, _ = drawn()
    assert mark
    assert open_set(folder, mark, count=4, heldout=2) is not None
    file = data.draw(st.sampled_from(files))
    original = file.read_bytes()
    file.write_bytes(data.draw(mutated((original,)) | npy))
    try:
        found = open_set(folder, mark, count=4, heldout=2)
        assert found is None or (found.train.shape, found.heldout.dtype) == ((4, 1, 32, 32), np.uint8)
    finally:
        file.unlink()  # never written in place, because a mapped file must not shrink under its reader
        file.write_bytes(original)


@slowly_fuzzed
@given(st.data())
def test_cached_fits_that_were_changed_are_used_or_made_again(tmp_path: Path, data: st.DataObject) -> None:
    images = np.zeros((2, 1, 4, 4), np.float32)
    names = [field for field in TriangleFits.__dataclass_fields__ if field != "edge"]
    fits = TriangleFits(edge="tent", **{name: np.ones(2) for name in names})
    cached_fits(tmp_path, images, "tent", lambda: fits)
    (file,) = tmp_path.glob("fits-*.npz")
    original = file.read_bytes()
    file.write_bytes(data.draw(mutated((original,))))
    found = cached_fits(tmp_path, images, "tent", lambda: fits)
    assert all(len(getattr(found, name)) == 2 for name in names)
    file.write_bytes(original)


@cache
def specs() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        states = np.arange(96, dtype=np.uint8).reshape(3, 2, 4, 4)
        save_file({"xt": states, "x0": states}, path, metadata={"epoch": "7", "timesteps": "[20, 10, 0]"})
        whole = path.read_bytes()
    return whole, whole.replace(b"[3,2,4,4]", b"[3,2,4,3]"), whole.replace(b"U8", b"I8")


def endless_spec() -> bytes:
    """One whose sizes are too large for a float."""
    sizes, offsets = b"[3,2,4,4]", b',"data_offsets":[96'
    return specs()[0].replace(sizes + offsets, b"[3,1e308,4,4]" + offsets).replace(b"    ", b"", 1)


@fuzzed
@given(mutated(specs()))
@example(endless_spec())
def test_any_trajectory_is_looked_at_or_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "ddim-2.safetensors"
    file.unlink(missing_ok=True)
    file.write_bytes(data)
    if words := error_message(lambda: Trajectory(file)):
        assert str(file) in words
        return
    kept = Trajectory(file)
    assert kept.timesteps
    for index in range(len(kept.timesteps)):
        assert kept.xt(index).shape == kept.x0(index).shape == kept.shape


IDENTITY = ProcessIdentity(pid=1, pid_started=2.5, host="h", boot_id="b")
IMAGES = np.zeros((2, 4, 4), np.uint8)
OVERLAY = Overlay(
    images_hash=pixels_hash(IMAGES),
    edge="tent",
    corners=[(0.0, 1.0, 2.0, 3.0, 1.5, 0.5), None],
    soft_iou=[0.5, None],
)
NOTES = (
    msgspec.json.encode(Progress(identity=IDENTITY, done=3, total=9, error="e")),
    msgspec.json.encode(OVERLAY),
    msgspec.json.encode(RunnerInfo(identity=IDENTITY, device="cpu", slots=2)),
)


@fuzzed
@given(mutated(NOTES))
def test_any_note_is_read_or_passed_over(tmp_path: Path, data: bytes) -> None:
    run, spec = RunDirectory(tmp_path / "run"), TrajectorySpec("ddim", 5)
    spec.path(run).parent.mkdir(exist_ok=True, parents=True)
    for file in (spec.progress_path(run), tmp_path / ".queue.lock", tmp_path / "overlay.json"):
        file.write_bytes(data)
    progress = read_trajectory_progress(run, spec)
    assert progress is None or "\x1b" not in progress.error
    overlay = read_overlay(tmp_path / "overlay.json", IMAGES)
    assert overlay is None or all(
        math.isfinite(number) for one in overlay.corners if one is not None for number in one
    )
    runner = read_runner(tmp_path)
    assert runner is None or isinstance(runner.identity.pid, int)


KEYS = b'"run.stop" = "s"\n[board]\n"x" = ["a", "ctrl+x"]\n'


@fuzzed
@given(mutated((KEYS, KEYS[:17])))
def test_any_file_of_keys_is_one_or_a_line_of_words(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "keys.toml"
    file.write_bytes(data)
    with contextlib.suppress(UserError):
        assert all(isinstance(keys, str) and keys for keys in read_keymap(file).values())


def test_a_pipe_is_not_waited_at_by_any_of_them(tmp_path: Path) -> None:
    for name in ("a.npy", "a.txt", "a.safetensors", ".queue.lock", "overlay.json"):
        os.mkfifo(tmp_path / name)
    for name in ("a.npy", "a.txt"):
        with pytest.raises(UserError, match="not a plain file"):
            make_schedule("custom", timesteps=4, file=str(tmp_path / name))
    with pytest.raises(UserError, match="not a plain file"):
        Trajectory(tmp_path / "a.safetensors")
    for read in (open_regular, read_npy):
        with pytest.raises(OSError, match="not a plain file"):
            read(tmp_path / "a.npy")
    assert read_runner(tmp_path) is None
    assert read_overlay(tmp_path / "overlay.json", IMAGES) is None


def test_a_header_as_python_2_wrote_it_is_read_without_a_warning(tmp_path: Path) -> None:
    words = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), }"
    header = words + b" " * (-(10 + len(words) + 1) % 64) + b"\n"
    path = tmp_path / "old.npy"
    numbers = np.array([1.0, 2.0, 3.0])
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + numbers.tobytes())
    assert read_npy(path).tolist() == numbers.tolist()
