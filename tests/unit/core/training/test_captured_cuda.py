"""Captured steps on CUDA, with stand-ins: when they are captured, in which order, and how far the CPU is ahead."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.training import captured_step
from core.training.captured_step import STEPS_IN_FLIGHT, CapturedSteps, CudaCapture, find_capture
from tests.support.recorded_steps import RecordedCapture

GENERATOR = torch.Generator()


def test_no_more_than_32_steps_are_in_flight() -> None:
    capture, finished, marks = RecordedCapture(), 0, list[int]()
    steps = CapturedSteps(lambda count: None, capture)
    for launched in range(200):
        seen = len(capture.log)
        steps.run(4, GENERATOR)
        for entry in capture.log[seen:]:
            word, _, number = entry.partition(" ")
            if word == "event":
                marks.append(launched)
            elif word == "wait":
                finished = marks[int(number)]
        assert launched + 1 - finished <= STEPS_IN_FLIGHT
    assert finished > 200 - 2 * STEPS_IN_FLIGHT


def test_steps_are_captured_on_one_gpu_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(captured_step, "CudaCapture", lambda device: f"capture on {device}")
    cuda = torch.device("cuda", 1)
    for value, expected in (("", "capture on cuda:1"), ("auto", "capture on cuda:1"), ("off", None)):
        monkeypatch.setenv("DDPM_CAPTURE", value)
        assert find_capture(cuda, 1) == expected
    monkeypatch.delenv("DDPM_CAPTURE")
    assert find_capture(torch.device("cpu"), 1) is find_capture(torch.device("mps"), 1) is None
    assert find_capture(cuda, 2) is None
    monkeypatch.setenv("DDPM_CAPTURE", "always")
    with pytest.raises(UserError, match="DDPM_CAPTURE=always: expected auto or off"):
        find_capture(cuda, 1)


class FakeCuda:
    """The parts of torch.cuda that a capture uses, with a log of their calls; a graph calls its function at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        fake = self

        class Stream:
            def __init__(self, device: object) -> None:
                self.name = "side"

            def wait_stream(self, other: "Stream") -> None:
                fake.log.append(f"{self.name} waits for {other.name}")

        class Graph:
            def register_generator_state(self, generator: object) -> None:
                fake.log.append("generator")

            def replay(self) -> None:
                fake.log.append("replay")

        @contextlib.contextmanager
        def on_stream(stream: Stream) -> Iterator[None]:
            fake.log.append(f"on {stream.name}")
            try:
                yield
            finally:
                fake.log.append(f"back from {stream.name}")

        main = Stream("cuda:1")
        main.name = "main"

        @contextlib.contextmanager
        def graph(graph: Graph, **options: Any) -> Iterator[None]:
            fake.log.append(
                f"begin {options['pool']} {options['stream'].name} {options['capture_error_mode']}"
            )
            yield
            fake.log.append("end")

        for name, value in {
            "Stream": Stream,
            "CUDAGraph": Graph,
            "graph": graph,
            "graph_pool_handle": lambda: "pool",
            "current_stream": lambda device: main,
            "stream": on_stream,
            "device": lambda device: contextlib.nullcontext(),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)


def test_a_cuda_graph_is_warmed_up_on_its_stream_and_knows_the_generator_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = FakeCuda(monkeypatch)
    capture = CudaCapture(torch.device("cuda", 1))
    capture.warm_up(lambda: cuda.log.append("step"))
    assert cuda.log == ["side waits for main", "on side", "step", "back from side", "main waits for side"]
    for _ in range(2):
        cuda.log.clear()
        replay = capture.capture(lambda: cuda.log.append("step"), GENERATOR)
        replay()
        replay()
        captured = ["begin pool side thread_local", "step", "end"]
        assert cuda.log == ["generator", "on main", *captured, "back from main", "replay", "replay"]
