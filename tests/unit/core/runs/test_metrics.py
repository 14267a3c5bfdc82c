"""Metrics appended by one process and followed by others, in spite of damage to the file."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.runs import EpochRecord, MetricsTail, MetricsWriter, State
from tests.support import fake_runs

NAN = float("nan")


def record(epoch: int, step: int, **changes: float) -> EpochRecord:
    values = {"elapsed": 1.5, "mean": 0.5, "min": 0.25, "max": 1.0, "heldout": 0.75}
    values |= {"images_per_second": 320.5, "learning_rate": 1e-3} | changes
    return EpochRecord(epoch=epoch, step=step, **values)


def same_records(one: EpochRecord, other: EpochRecord) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in EpochRecord.__struct_fields__]
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def counted_stats(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count what a poll asks of the operating system."""
    counts = {"stat": 0, "open": 0}
    real_stat, real_open = os.stat, Path.open

    def stat(*arguments: object, **options: object) -> object:
        counts["stat"] += 1
        return real_stat(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came

    def open_(*arguments: object, **options: object) -> object:
        counts["open"] += 1
        return real_open(*arguments, **options)  # type: ignore[call-overload]  # passed on as they came

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(Path, "open", open_)
    return counts


def test_written_metrics_are_read_back(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(1, 1, 0.5, [0.123456789, NAN, float("inf"), -float("inf"), 2.0])
        writer.append_epoch(record(1, 5, heldout=NAN, max=float("inf")))
        tail = MetricsTail(path)
        assert tail.poll()
    np.testing.assert_array_equal(tail.steps, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(tail.losses, [0.123457, NAN, NAN, NAN, 2.0])
    assert len(tail.epochs) == 1
    assert same_records(tail.epochs[0], record(1, 5, heldout=NAN, max=NAN))
    assert (tail.damaged, tail.last_elapsed) == (0, 1.5)


def test_the_file_is_as_documented(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(41, 2, 3.21049, [0.5, NAN])
        writer.append_epoch(record(2, 42, heldout=NAN))
    steps, epoch = [json.loads(line) for line in path.read_text().splitlines()]
    assert steps == {"k": "s", "s": 41, "e": 2, "t": 3.21, "l": [0.5, None]}
    assert epoch == {
        "k": "e",
        "e": 2,
        "s": 42,
        "t": 1.5,
        "mean": 0.5,
        "min": 0.25,
        "max": 1.0,
        "heldout": None,
        "ips": 320.5,
        "lr": 0.001,
    }


def test_a_file_that_is_not_there_yet_is_no_change(path: Path) -> None:
    tail = MetricsTail(path)
    assert not tail.poll()
    assert len(tail.steps) == len(tail.losses) == len(tail.epochs) == 0
    path.touch()
    assert not tail.poll()
    path.write_text('{"k":"s","s":1,"e":1,"t":1,"l":[1]}\n')
    assert tail.poll()
    assert tail.losses.tolist() == [1.0]


def test_a_deleted_file_is_a_change_and_clears_the_metrics(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(1, 1, 0.5, [1.0])
    tail = MetricsTail(path)
    assert tail.poll()
    path.unlink()
    assert tail.poll()
    assert not tail.poll()
    assert len(tail.steps) == 0


def test_a_poll_with_nothing_new_costs_one_stat(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b'{"k":"s","s":1,"e":1,"t":1,"l":[1,2]}\n{"k":"s","s":3')
    tail = MetricsTail(path)
    tail.poll()
    counts = counted_stats(monkeypatch)
    assert not tail.poll()
    assert counts == {"stat": 1, "open": 0}


def test_only_appended_bytes_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(1, 1, 0.5, [0.5] * 50_000)
        tail = MetricsTail(path)
        tail.poll()
        before = path.stat().st_size
        writer.append_steps(50_001, 1, 0.6, [0.25])
        new = path.stat().st_size - before
    read = 0
    real_open = Path.open

    class Counting:
        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> "Counting":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]  # a file

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def read(self, size: int) -> bytes:
            nonlocal read
            data: bytes = self.file.read(size)  # type: ignore[attr-defined]  # a file
            read += len(data)
            return data

    monkeypatch.setattr(Path, "open", lambda *args, **kwargs: Counting(real_open(*args, **kwargs)))
    assert tail.poll()
    assert new <= read <= new + 64
    assert tail.losses[-1] == 0.25


def test_a_partial_last_line_is_left_for_the_next_poll(path: Path) -> None:
    line = b'{"k":"s","s":1,"e":1,"t":1,"l":[1,2]}\n'
    tail = MetricsTail(path)
    for cut in range(1, len(line)):
        path.write_bytes(line[:cut])
        tail.poll()
        assert len(tail.steps) == 0
    path.write_bytes(line)
    assert tail.poll()
    assert tail.losses.tolist() == [1.0, 2.0]
    assert tail.damaged == 0


def test_a_line_that_arrives_byte_by_byte_is_read_once(path: Path) -> None:
    with MetricsWriter(path) as writer:
        for step in range(1, 4):
            writer.append_steps(step, 1, step / 10, [step / 2])
    content = path.read_bytes()
    path.unlink()
    tail = MetricsTail(path)
    with path.open("ab", buffering=0) as file:
        changes = 0
        for byte in content:
            file.write(bytes([byte]))
            changes += tail.poll()
    assert changes == 3
    assert tail.losses.tolist() == [0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    "damage",
    [
        b"not json",
        b"\xff\xfe\x00",
        b"{}",
        b"[1,2]",
        b"null",
        b'{"k":"s"}',
        b'{"k":"s","s":-1,"e":1,"t":1,"l":[1]}',
        b'{"k":"s","s":1e300,"e":1,"t":1,"l":[1]}',
        b'{"k":"s","s":1,"e":1,"t":1,"l":["a"]}',
        b'{"k":"s","s":1,"e":1,"t":1,"l":[1e999]}',
        b'{"k":"s","s":1,"e":1,"t":1,"l":[1',
        b'{"k":"e","e":"one","s":1,"t":1}',
        b"[" * 10_000,
    ],
)
def test_a_damaged_line_is_skipped_and_counted(path: Path, damage: bytes) -> None:
    before = b'{"k":"s","s":1,"e":1,"t":1,"l":[1]}\n'
    after = b'{"k":"s","s":2,"e":1,"t":1,"l":[2]}\n'
    path.write_bytes(before + damage + b"\n" + after)
    tail = MetricsTail(path)
    assert tail.poll()
    assert tail.losses.tolist() == [1.0, 2.0]
    assert tail.damaged == 1


def test_kinds_and_keys_of_a_later_version_are_skipped(path: Path) -> None:
    path.write_text('{"k":"v","x":[1]}\n{"k":"s","s":1,"e":1,"t":1,"l":[1],"mood":"fine"}\n\n')
    tail = MetricsTail(path)
    assert tail.poll()
    assert tail.losses.tolist() == [1.0]
    assert tail.damaged == 0


def test_a_line_without_an_end_is_skipped_in_bounded_memory(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(3):
            file.write(b"x" * (4 << 20))
    tail = MetricsTail(path)
    assert not tail.poll()
    with path.open("ab") as file:
        file.write(b'yyy\n{"k":"s","s":1,"e":1,"t":1,"l":[3]}\n')
    assert tail.poll()
    assert tail.losses.tolist() == [3.0]
    assert tail.damaged == 1


def test_a_shrunk_file_is_read_again_from_the_start(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(1, 1, 0.5, [1.0, 2.0])
        writer.append_steps(3, 1, 0.5, [3.0])
    tail = MetricsTail(path)
    tail.poll()
    os.truncate(path, path.read_bytes().index(b"\n") + 1)
    assert tail.poll()
    assert tail.losses.tolist() == [1.0, 2.0]


def test_a_file_of_the_same_inode_and_more_bytes_but_other_content_is_read_from_the_start(path: Path) -> None:
    path.write_bytes(b'{"k":"s","s":1,"e":1,"t":1,"l":[1]}\n')
    tail = MetricsTail(path)
    tail.poll()
    with path.open("r+b") as file:
        file.write(b'{"k":"s","s":1,"e":1,"t":1,"l":[7]}\n{"k":"s","s":2,"e":1,"t":1,"l":[8]}\n')
    assert tail.poll()
    assert tail.losses.tolist() == [7.0, 8.0]


def test_truncating_leaves_neither_a_gap_nor_a_repetition(path: Path) -> None:
    with MetricsWriter(path) as writer:
        tail = MetricsTail(path)
        writer.append_steps(1, 1, 1.0, [1.0, 2.0])
        writer.append_epoch(record(1, 2))
        checkpoint = writer.offset
        writer.append_steps(3, 2, 2.0, [3.0, 4.0])
        writer.append_epoch(record(2, 4))
        tail.poll()
        inode = path.stat().st_ino
        writer.truncate_to(checkpoint)
        assert path.stat().st_ino != inode
        assert writer.offset == checkpoint
        writer.append_steps(3, 2, 2.5, [30.0])
    assert tail.poll()
    assert tail.steps.tolist() == [1.0, 2.0, 3.0]
    assert tail.losses.tolist() == [1.0, 2.0, 30.0]
    assert [epoch.epoch for epoch in tail.epochs] == [1]
    assert tail.damaged == 0


def test_truncating_to_more_than_there_is_keeps_all(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(1, 1, 1.0, [1.0])
        size = writer.offset
        writer.truncate_to(10 * size)
        assert writer.offset == size
        writer.truncate_to(0)
        assert writer.offset == 0


def test_a_new_writer_first_ends_a_partial_line(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(1, 1, 1.0, [1.0])
        writer.append_steps(2, 1, 1.0, [2.0])
    fake_runs.tear(path)
    with MetricsWriter(path) as writer:
        writer.append_steps(2, 1, 2.0, [20.0])
    tail = MetricsTail(path)
    tail.poll()
    assert tail.losses.tolist() == [1.0, 20.0]
    assert tail.damaged == 1


def test_a_writer_that_goes_back_without_truncating_replaces_what_it_repeats(path: Path) -> None:
    with MetricsWriter(path) as writer:
        tail = MetricsTail(path)
        writer.append_steps(1, 1, 1.0, [1.0, 2.0, 3.0])
        writer.append_epoch(record(1, 3))
        tail.poll()
        kept_losses, kept_epochs = tail.losses, tail.epochs
        writer.append_steps(2, 1, 1.0, [20.0])
        writer.append_epoch(record(1, 2, mean=9.0))
        tail.poll()
    assert tail.steps.tolist() == [1.0, 2.0]
    assert tail.losses.tolist() == [1.0, 20.0]
    assert [epoch.mean for epoch in tail.epochs] == [9.0]
    assert kept_losses.tolist() == [1.0, 2.0, 3.0]
    assert [epoch.mean for epoch in kept_epochs] == [0.5]


def test_views_are_read_only_and_stay_as_they_were_taken(path: Path) -> None:
    with MetricsWriter(path) as writer:
        tail = MetricsTail(path)
        writer.append_steps(1, 1, 1.0, [1.0])
        tail.poll()
        early = tail.losses
        with pytest.raises(ValueError, match="read-only"):
            early[0] = 5.0
        for start in range(2, 6000, 500):
            writer.append_steps(start, 1, 1.0, [0.5] * 500)
            tail.poll()
    assert early.tolist() == [1.0]
    assert len(tail.losses) == 6001
    assert np.all(np.diff(tail.steps) == 1)


def test_growing_does_not_copy_all_points_each_time(path: Path) -> None:
    with MetricsWriter(path) as writer:
        tail = MetricsTail(path)
        buffers = set()
        for step in range(1, 3001):
            writer.append_steps(step, 1, 1.0, [0.5])
            tail.poll()
            buffers.add(tail.losses.ctypes.data)
    assert len(buffers) < 10


def test_no_losses_write_no_line_and_very_many_are_split(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(1, 1, 1.0, [])
        assert path.read_bytes() == b""
        writer.append_steps(1, 1, 1.0, list(range(10_000)))
    assert len(path.read_bytes().splitlines()) == 3
    tail = MetricsTail(path)
    tail.poll()
    np.testing.assert_array_equal(tail.steps, np.arange(1, 10_001))
    np.testing.assert_array_equal(tail.losses, np.arange(10_000))


def test_numpy_losses_can_be_written(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append_steps(np.int64(1), 1, np.float32(1.0), np.array([0.5, np.nan], dtype=np.float32))
    assert json.loads(path.read_text())["l"] == [0.5, None]


def test_a_reader_follows_a_writer_in_another_process_to_the_last_step(path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom core.runs import MetricsWriter\n"
        "with MetricsWriter(Path(sys.argv[1])) as writer:\n"
        "    for step in range(1, 5001, 5):\n"
        "        writer.append_steps(step, 1, step / 10, [float(step + i) for i in range(5)])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(path)])
    tail = MetricsTail(path)
    while process.poll() is None:
        tail.poll()
        np.testing.assert_array_equal(tail.steps, tail.losses)
    tail.poll()
    assert process.returncode == 0
    np.testing.assert_array_equal(tail.losses, np.arange(1, 5001))
    assert tail.damaged == 0


def test_a_tail_of_epochs_only_has_the_same_epochs_and_no_losses(tmp_path: Path) -> None:
    run = fake_runs.make_run(tmp_path, epochs=7, epoch=4, steps_per_epoch=90, state=State.STOPPED)
    with run.metrics_file.open("ab") as file:
        file.write(b'nonsense\n{"k":"later"}\n{"e":5,"s":450,"t":1.0,"k":"e"}\n{"k":"s","s":45')
    whole, epochs = MetricsTail(run.metrics_file), MetricsTail(run.metrics_file, epochs_only=True)
    for _ in range(2):
        assert whole.poll() is epochs.poll()
        assert repr(whole.epochs) == repr(epochs.epochs)
        assert len(whole.epochs) == 5
        assert (len(whole.losses), len(epochs.losses)) == (360, 0)
    assert whole.damaged == epochs.damaged == 1
