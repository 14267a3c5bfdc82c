"""Record of one part of the GPU benchmark: a JSON file that is replaced with each new line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.harness.interleaved import Rates, Work, run_interleaved
from bench.harness.report import Row, format_table, log_progress, make_row
from core.errors import UserError
from core.files.atomic import atomic_write

RUNNING, DONE, FAILED, CUT_OFF, LEFT_OUT = "running", "done", "failed", "cut off", "left out"


class PartResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one part so far.

    Attributes:
        part: its name.
        state: ``running``, ``done``, ``failed`` (something in it did), ``cut off`` or ``left out``.
        seconds: time until now.
        settings: networks, device and the like.
        rows: the measurements.
        failures: errors by the name of what failed.
        notes: sentences.
    """

    part: str
    state: str = RUNNING
    created: str = ""
    seconds: float = 0.0
    settings: dict[str, Any] = {}
    rows: tuple[Row, ...] = ()
    failures: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class Recorder:
    """Collects the result of a part, and writes it to its file after each change.

    Args:
        part: the name of the part.
        path: the file; its folder is created.
        seconds: time that the part may take.
        settings: see `PartResult`.
    """

    def __init__(self, part: str, path: Path, seconds: float, settings: dict[str, Any]) -> None:
        self.path, self.seconds = path, seconds
        self._start = time.monotonic()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self.result = PartResult(part=part, created=created, settings=settings)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    @property
    def seconds_left(self) -> float:
        """Time until the part is cut off."""
        return max(0.0, self.seconds - (time.monotonic() - self._start))

    def add(self, *rows: Row) -> None:
        """Add measurements."""
        if not rows:
            return
        for line in format_table(rows)[1:]:
            print(f"  {line}", flush=True)
        self._write(rows=(*self.result.rows, *rows))

    def note(self, text: str) -> None:
        """Add a sentence."""
        print(f"  {text}", flush=True)
        self._write(notes=(*self.result.notes, text))

    def fail(self, name: str, error: object) -> None:
        """Add the failure of something, in one line."""
        text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        text = " ".join(text.split())[:500]
        print(f"  {name} failed: {text}", flush=True)
        self._write(failures={**self.result.failures, name: text})

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Record an error of the block instead of raising it, because it says nothing about what follows."""
        try:
            yield
        except Exception as error:  # of any kind, see above
            self.fail(name, error)

    def race(self, works: dict[str, Work], seconds: float, unit: str, scale: float = 1.0) -> Rates:
        """Run contenders in turns, and add the rate of each, in units of 1 / `scale`; none if all failed.

        The rounds so far are in the file while others are to come.
        """
        failures: dict[str, str] = {}
        rates: Rates = {}
        before = self.result.rows

        def rows(rates: Rates) -> list[Row]:
            scaled = {name: [rate * scale for rate in found] for name, found in rates.items()}
            return [make_row(name, unit, found) for name, found in scaled.items() if found]

        with suppress(UserError):  # all failed
            rates = run_interleaved(
                works,
                seconds=seconds,
                report=log_progress,
                failures=failures,
                on_round=lambda rates: self._write(rows=(*before, *rows(rates))),
            )
        for name, text in failures.items():
            self.fail(name, text)
        self._write(rows=before)
        self.add(*rows(rates))
        return rates

    def close(self) -> PartResult:
        """Write that the part is done, and return the result."""
        self._write(state=FAILED if self.result.failures else DONE)
        return self.result

    def _write(self, **changes: Any) -> None:
        seconds = round(time.monotonic() - self._start, 2)
        self.result = msgspec.structs.replace(self.result, seconds=seconds, **changes)
        write_result(self.path, self.result)


def write_result(path: Path, result: PartResult) -> None:
    """Replace the file of a result."""
    atomic_write(path, msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n")


def read_result(path: Path, part: str) -> PartResult:
    """Read the file of a part; one without rows if there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PartResult)
    except (OSError, msgspec.MsgspecError):
        return PartResult(part=part)


Part = Callable[[Recorder, tuple[str, ...], str], None]
"""Measures one part: the recorder, the networks, and the name of the device."""
