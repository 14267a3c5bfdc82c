"""Files of runs and images, changed at random: read, or rejected in one line, without a traceback or a hang."""

import contextlib
import io
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from core.cli.describe import read_epochs, run_details_json, run_row, run_text
from core.cli.output import emit_json
from core.data.decode import NotAnImageError, readable_formats
from core.data.survey import load_image
from core.errors import UserError
from core.files.sanitize import sanitize
from core.imaging import read_sheet, sparkline, write_sheet
from core.imaging.sheet import LAYOUT_KEY
from core.runs import (
    Evaluation,
    MetricsTail,
    RunDirectory,
    RunStore,
    State,
    Status,
    add_evaluation,
    effective_state,
    minmax_buckets,
    read_evaluations,
    stall_warning,
)
from core.statistics.estimate import Estimate
from core.training.checkpoint import Position, read_checkpoint, save_checkpoint
from tests.support.fake_runs import make_run
from tests.support.fuzzing import error_message, fuzzed, mutated, odd_text

STATUS = b'{"format_version":1,"state":"running","epoch":3,"epochs":10,"step":120,"steps":400,"elapsed":12.5,'
STATUS += b'"images_per_second":320.5,"heartbeat":1.8e9,"pid":1,"pid_started":2.5,"host":"h","boot_id":"b","error":"e"}'
METRICS = b'{"k":"s","s":1,"e":1,"t":3.2,"l":[0.9,0.8,null]}\n{"k":"e","e":1,"s":3,"t":9.1,"mean":0.5,"heldout":null}\n'
METRICS += b'{"k":"s","s":4,"e":2,"t":4.2,"l":[0.5]}\n{"k":"new","x":1}\n'


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs", images=False, steps_per_epoch=3, epochs=2)


def show(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    """Show a run as the command line does."""
    scan = RunStore(run.path.parent).scan()
    for info in scan.infos:
        epochs = read_epochs(info)
        emit_json(run_details_json(info, epochs))
        for text in (run_text(info, epochs), *run_row(info, epochs), stall_warning(info.status, now=1.8e9)):
            text.encode()
            assert "\x1b" not in text
    for problem in scan.problems:
        assert len(problem.text.splitlines()) == 1
    assert len(scan.infos) + len(scan.problems) == 1
    capsys.readouterr()


@fuzzed
@given(mutated((STATUS,)))
def test_any_status_is_read_and_shown_or_refused(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    run.status_file.write_bytes(data)
    with contextlib.suppress(UserError):
        status = run.read_status()
        effective_state(status, now=1.8e9)
    show(run, capsys)


@fuzzed
@given(
    st.builds(
        Status,
        **{name: st.integers(-(2**63), 2**63 - 1) for name in ("epoch", "epochs", "step", "pid")},
        **{name: st.floats() for name in ("images_per_second", "elapsed", "heartbeat", "pid_started")},
        message=odd_text,
        error=odd_text,
        state=st.sampled_from(State),
    )
)
def test_any_status_that_can_be_written_is_shown(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], status: Status
) -> None:
    run.write_status(status, fsync=False)
    show(run, capsys)


@fuzzed
@given(st.data())
def test_any_run_file_is_read_and_shown_or_refused(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    original = run.run_file.read_bytes()
    run.run_file.write_bytes(data.draw(mutated((original,))))
    show(run, capsys)
    run.run_file.write_bytes(original)


@fuzzed
@given(mutated((METRICS, METRICS * 3)), st.integers(1, 60))
def test_metrics_give_the_same_numbers_however_they_arrive_and_can_be_drawn(
    tmp_path: Path, data: bytes, piece: int
) -> None:
    whole, pieces = MetricsTail(tmp_path / "whole"), MetricsTail(tmp_path / "pieces")
    whole.path.write_bytes(data)
    pieces.path.write_bytes(b"")
    whole.poll()
    step = max(piece, len(data) // 20)
    with pieces.path.open("ab") as file:
        for start in range(0, len(data), step):
            file.write(data[start : start + step])
            file.flush()
            pieces.poll()
    assert np.array_equal(whole.steps, pieces.steps)
    assert np.array_equal(whole.losses, pieces.losses, equal_nan=True)
    assert len(whole.epochs) == len(pieces.epochs)
    assert (np.diff(whole.steps) > 0).all()
    with np.errstate(all="ignore"):
        minmax_buckets(whole.steps, whole.losses, 20)
        minmax_buckets(whole.steps, whole.losses, 20, log_x=True)
        assert len(sparkline([record.mean for record in whole.epochs], 8)) <= 8


@fuzzed
@given(st.data())
def test_any_evaluation_is_read_or_refused(run: RunDirectory, data: st.DataObject) -> None:
    file = run.path / "evaluation.json"
    if not file.exists():
        metrics = {"pass_rate": Estimate(0.5, 0.4, None), "mmd": Estimate(None)}
        curves = {"loss_by_timestep": [0.5, None]}
        add_evaluation(
            run,
            Evaluation(created="2026", dataset="high", count=4, heldout=4, metrics=metrics, curves=curves),
        )
    original = file.read_bytes()
    file.write_bytes(data.draw(mutated((original,))))
    with contextlib.suppress(UserError):
        for evaluation in read_evaluations(run):
            assert evaluation.settings
    file.write_bytes(original)


@cache
def checkpoint_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(folder)
        tensors = {"model.a": torch.arange(6.0).reshape(2, 3), "rng": torch.zeros(5, dtype=torch.uint8)}
        tensors |= {"optimizer.0.0.step": torch.tensor(3.0), "ema.a": torch.ones(2, 3, dtype=torch.bfloat16)}
        position = Position(
            epoch=1, batch=2, step=7, losses=[0.5], elapsed=1.5, metrics_offset=40, channels=1, size=32
        )
        save_checkpoint(run, tensors, position)
        return run.checkpoint.read_bytes()


@fuzzed
@given(st.data())
def test_a_changed_checkpoint_is_found_out_whatever_was_changed(tmp_path: Path, data: st.DataObject) -> None:
    original = checkpoint_bytes()
    run = RunDirectory(tmp_path)
    run.checkpoint.parent.mkdir(exist_ok=True)
    given_bytes = data.draw(mutated((original,)))
    run.checkpoint.write_bytes(given_bytes)
    if words := error_message(lambda: read_checkpoint(run)):
        assert str(run.checkpoint) in words
        return
    tensors, position = read_checkpoint(run)
    # The accepted content is the written one: the change hit a byte without meaning, such as a blank.
    assert (position.step, position.metrics_offset, sorted(tensors)) == (
        7,
        40,
        ["ema.a", "model.a", "optimizer.0.0.step", "rng"],
    )
    assert torch.equal(tensors["model.a"], torch.arange(6.0).reshape(2, 3))
    assert tensors["ema.a"].float().sum() == 6


@cache
def sheets() -> tuple[bytes, ...]:
    made = []
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for shape in ((5, 8, 8), (3, 8, 8, 3), (1, 1, 1)):
            path = Path(folder) / "a.png"
            write_sheet(path, rng.integers(0, 256, shape, np.uint8), columns=2, meta={"epoch": "3"})
            made.append(path.read_bytes())
    return tuple(made)


def refused_or_small(path: Path) -> None:
    began = time.process_time()
    if words := error_message(lambda: read_sheet(path)):
        assert str(path) in words
    else:
        sheet = read_sheet(path)
        assert sheet.images.dtype == np.uint8
        assert sheet.images.nbytes < 1 << 28
        assert len(sheet.images) >= 1
    assert time.process_time() - began < 20


@fuzzed
@given(mutated(sheets()))
@pytest.mark.filterwarnings("ignore")
def test_any_png_is_a_sheet_or_a_line_of_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "epoch-0001.png"
    path.write_bytes(data)
    refused_or_small(path)


layouts = st.dictionaries(
    st.sampled_from(["count", "columns", "height", "width", "gap"]),
    st.integers(-2, 20) | st.sampled_from([2**31, 10**30, 0, 1]) | st.floats() | st.text(max_size=3),
)


@fuzzed
@given(
    layouts.map(lambda layout: msgspec.json.encode(layout).decode() if _encodes(layout) else "{}") | odd_text
)
@pytest.mark.filterwarnings("ignore")
def test_any_layout_inside_a_png_fits_or_is_refused(tmp_path: Path, layout: str) -> None:
    path, notes = tmp_path / "epoch-0001.png", PngImagePlugin.PngInfo()
    with contextlib.suppress(UnicodeEncodeError):
        notes.add_itxt(LAYOUT_KEY, layout)
    Image.new("L", (17, 8)).save(path, pnginfo=notes)
    refused_or_small(path)


def _encodes(layout: dict[str, object]) -> bool:
    return not any(isinstance(value, int) and abs(value) > 2**63 for value in layout.values())


@cache
def photographs() -> tuple[bytes, ...]:
    """A small image in each supported format."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
    made = []
    for name in readable_formats():
        for mode in ("RGB", "L", "P", "RGBA"):
            buffer = io.BytesIO()
            with contextlib.suppress(OSError, ValueError):
                image.convert(mode).save(buffer, format=name)
                made.append(buffer.getvalue())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = Image.fromarray(np.arange(63, dtype=np.uint16).reshape(9, 7) * np.uint16(1000))
    for name, one in (("PNG", image), ("TIFF", image), ("PNG", wide), ("TIFF", wide)):
        one.save(buffer := io.BytesIO(), format=name, icc_profile=profile if one is image else None)
        made.append(buffer.getvalue())
    return tuple(made)


@fuzzed
@given(mutated(photographs()) | st.binary(max_size=100))
def test_any_file_in_a_image_folder_is_a_image_or_is_left_out(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(data)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if words := error_message(lambda: load_image(path, 8), error=NotAnImageError):
            assert words in ("not an image", "damaged", "too large") or words.startswith(
                ("numbers without a scale", "HEIC (run ", "AVIF (this build", "JPEG2000 (this build")
            )
        else:
            pixels, _ = load_image(path, 8)
            assert (pixels.shape, pixels.dtype) == ((3, 8, 8), np.uint8)
    assert time.process_time() - began < 30


@fuzzed
@given(
    st.text()
    | st.lists(st.sampled_from(["\x1b[", "31m", "\x1b]0;", "\x07", "\u202e", "a", "\r", "\n"])).map("".join)
)
def test_whatever_is_made_plain_can_be_printed_and_stays_so(text: str) -> None:
    for lines in (False, True):
        made = sanitize(text, lines=lines)
        made.encode()
        assert not any(ord(c) < 32 and c != "\n" for c in made)
        assert not set(made) & set("\x1b\x7f\x9b\u202e\u2066\ufeff")
        assert sanitize(made, lines=lines) == made
        assert lines or "\n" not in made
