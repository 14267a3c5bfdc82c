"""The harness of benchmarks: time, trials, statistics, machines and tables."""

import itertools
import json
import math
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch

from bench.cases.menu import main as bench
from bench.harness.environment import Machine, cpu_name_with_model, describe_machine, other_load_share
from bench.harness.interleaved import (
    MIN_ROUNDS,
    Spread,
    exponents,
    ratios,
    run_interleaved,
    summarize,
    turn_order,
)
from bench.harness.pacing import Pacer
from bench.harness.report import Result, format_number, format_table, make_row, report_result, row_from_spread
from core.errors import UserError
from tests.support import ROOT


class Clock:
    """A clock that advances only when work is done."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def worker(self, seconds, done=1.0):
        def work():
            self.now += next(times)
            return done

        times = iter(seconds) if not isinstance(seconds, float) else itertools.repeat(seconds)
        return work


def machine(**changes):
    values = {
        "cpu": "A CPU @ 3 GHz",
        "cores": 2,
        "instructions": ("avx2",),
        "memory_gib": 8.0,
        "gpus": (),
        "system": "Linux 6",
        "python": "3.11.7",
        "versions": {"torch": "2.13.0"},
        "commit": "",
    }
    return Machine(**{**values, **changes})


@pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
def test_a_spread_is_median_and_quartiles(count):
    values = np.random.default_rng(count).lognormal(size=count)
    found = summarize(list(values))
    assert found.n == count
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    assert (found.low, found.median, found.high) == pytest.approx((low, median, high))
    assert summarize(list(values[::-1])) == found


def test_there_is_no_median_of_nothing():
    with pytest.raises(ValueError, match="no measurement to take a median of"):
        summarize([])


def test_rates_are_work_over_time_and_the_warm_up_is_in_none_of_them():
    clock = Clock()
    slow_at_first = clock.worker(itertools.chain([50.0], itertools.repeat(0.5)), done=10.0)
    rates = run_interleaved(
        {"a": slow_at_first, "b": clock.worker(0.25, done=10.0)},
        seconds=60.0,
        trial_seconds=1.0,
        clock=clock,
    )
    assert len(rates["a"]) == len(rates["b"]) >= MIN_ROUNDS
    assert rates["a"] == pytest.approx([20.0] * len(rates["a"]))
    assert rates["b"] == pytest.approx([40.0] * len(rates["b"]))


def test_a_race_ends_in_time_but_never_before_three_rounds():
    for seconds, rounds in ((41.0, 19), (5.0, MIN_ROUNDS), (0.1, MIN_ROUNDS)):
        clock = Clock()
        works = {name: clock.worker(1.0) for name in "ab"}
        rates = run_interleaved(works, seconds=seconds, trial_seconds=1.0, clock=clock)
        assert len(rates["a"]) == rounds
        assert clock.now - 100.0 == 2 + 2 * rounds


def test_a_contender_that_fails_is_reported_and_the_others_go_on():
    for good_trials in (0, 2):
        clock, failures, lines = Clock(), {}, []
        left = iter([1.0] * good_trials)

        def fails(left=left, clock=clock):
            clock.now += 1.0
            return next(left)

        rates = run_interleaved(
            {"a": clock.worker(1.0), "b": fails, "c": clock.worker(1.0)},
            seconds=20.0,
            trial_seconds=1.0,
            clock=clock,
            report=lines.append,
            failures=failures,
        )
        assert list(rates) == ["a", "c"]
        assert len(rates["a"]) == len(rates["c"]) >= MIN_ROUNDS
        assert list(failures) == ["b"]
        assert failures["b"].startswith("StopIteration")
        assert any(line.startswith("b failed") for line in lines)
        assert ratios(rates, "a", "b") == []
    with pytest.raises(UserError, match="b: failed"):
        run_interleaved({"b": fails}, seconds=1.0, clock=clock)


class Queue:
    """A device that accepts steps at once and computes them one after the other."""

    def __init__(self, seconds):
        self.now = self.done_at = self.most = 0.0
        self.seconds = seconds

    def step(self):
        self.done_at = max(self.done_at, self.now) + self.seconds
        self.most = max(self.most, self.done_at - self.now)
        self.now += 1e-5  # to launch it

    def mark(self):
        done_at = self.done_at

        def wait():
            self.now = max(self.now, done_at)

        return wait


@pytest.mark.parametrize("seconds", [1e-6, 1e-4, 0.02, 0.7])
def test_a_trial_ends_in_time_however_much_a_device_would_queue(seconds):
    queue = Queue(seconds)
    pacer = Pacer(torch.device("cuda"), clock=lambda: queue.now, mark=queue.mark)
    count = 0
    while queue.now < 10.0:
        queue.step()
        pacer.step()
        count += 1
    pacer.drain()
    assert queue.most <= max(0.5, 2.01 * seconds) <= 2.0
    assert queue.now <= 10.0 + 2.0
    # The device never waited for the host, nor the host for single steps.
    assert count * max(seconds, 1e-5) >= 0.95 * queue.now


def test_steps_of_a_cpu_are_done_when_they_return():
    pacer = Pacer(torch.device("cpu"))
    for _ in range(5):
        pacer.step()
    pacer.drain()


def test_work_longer_than_a_trial_is_done_once_a_trial():
    clock = Clock()
    rates = run_interleaved({"a": clock.worker(8.0, done=4.0)}, seconds=1.0, trial_seconds=0.5, clock=clock)
    assert rates == {"a": [0.5] * MIN_ROUNDS}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_contender_runs_once_a_round_and_none_always_follows_the_same(count):
    names = [str(index) for index in range(count)]
    before = {name: set() for name in names}
    for number_of_round in range(2 * count):
        turn = turn_order(names, number_of_round)
        assert sorted(turn) == names
        for first, second in itertools.pairwise(turn):
            before[second].add(first)
    assert all(len(others) >= min(2, count - 1) for others in before.values())


def test_a_drift_that_both_have_leaves_their_ratio_alone():
    drift = np.linspace(1.0, 0.3, 7)
    rates = {"a": list(30.0 * drift), "b": list(10.0 * drift)}
    assert ratios(rates, "a", "b") == pytest.approx([3.0] * 7)


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 2.3])
def test_the_exponent_of_a_power_law_is_found_in_each_round(power):
    sizes = [16, 32, 64, 128]
    costs = [[factor * size**power for factor in (0.1, 1.0, 7.0)] for size in sizes]
    assert exponents(sizes, costs) == pytest.approx([power] * 3)
    with pytest.raises(ValueError, match="at least two different sizes"):
        exponents([32, 32], costs[:2])


@pytest.mark.parametrize(
    ("busy", "own", "seconds", "share"),
    [
        (20, 20, 10, 0.0),
        (20, 0, 10, 1.0),
        (15, 10, 10, 0.25),
        (9, 10, 10, 0.0),
        (99, 0, 10, 1.0),
        (5, 1, 0, 0.0),
    ],
)
def test_the_load_of_other_programs_is_the_busy_time_without_our_own(busy, own, seconds, share):
    assert other_load_share(busy, own, seconds, cores=2) == share


def test_a_machine_is_described_with_what_it_runs():
    found = describe_machine(("msgspec", "no-such-package"))
    assert found.cores >= 1
    assert found.memory_gib > 0
    assert found.versions["torch"] == torch.__version__
    assert "no-such-package" not in found.versions
    assert f"msgspec {found.versions['msgspec']}" in found.lines()[1]


def test_machines_have_names_fit_for_files():
    assert machine().slug() == "a-cpu-3-ghz-2"
    assert machine(instructions=("avx2", "avx512_bf16")).slug() == "a-cpu-3-ghz-bf16-2"
    assert machine(gpus=("NVIDIA H100",), cores=16).slug() == "nvidia-h100-16"


@pytest.mark.parametrize("free", ["71.3 GiB free", "139.1 GiB free", "512 MiB free"])
def test_a_gpu_has_the_same_name_whatever_memory_is_free(monkeypatch, free):
    found = SimpleNamespace(
        devices=(
            SimpleNamespace(kind="cuda", detail=f"NVIDIA H200, {free}"),
            SimpleNamespace(kind="cpu", detail="A CPU, 2 cores"),
        ),
        cores=2,
    )
    monkeypatch.setattr("core.launch.devices.detect_machine", lambda: found)
    assert describe_machine().gpus == ("NVIDIA H200",)
    assert describe_machine().slug() == "nvidia-h200-2"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("AMD EPYC", "AMD EPYC, family 26, model 2"),
        ("Intel(R) Xeon(R) Processor", "Intel(R) Xeon(R) Processor, family 26, model 2"),
        ("AMD EPYC 9654 96-Core Processor", "AMD EPYC 9654 96-Core Processor"),
    ],
)
def test_a_cpu_name_without_a_number_gets_its_family_and_model(name, full):
    cpuinfo = f"processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: {name}\nstepping\t: 1\n"
    assert cpu_name_with_model(name, cpuinfo) == full
    assert cpu_name_with_model(name, "Features\t: fp asimd\n") == name
    assert cpu_name_with_model(name, "") == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.8, "1,234,568"),
        (100, "100"),
        (12.345, "12.3"),
        (0.012345, "0.0123"),
        (0, "0.00"),
        (-2.5, "-2.50"),
    ],
)
def test_numbers_have_three_digits_or_more(value, text):
    assert format_number(value) == text
    assert format_number(math.nan) == "nan"


def test_columns_of_a_table_stand_below_each_other():
    single = row_from_spread("longer", "", Spread(1, 1234.0, 1.0, 2.0), "x")
    lines = format_table([make_row("a", "pictures/s", [1.0, 2.0, 3.0]), single])
    assert [line.split() for line in lines] == [
        ["median", "quartiles", "n"],
        ["a", "2.00", "1.50", "to", "2.50", "pictures/s", "3"],
        ["longer", "1,234", "1", "x"],
    ]
    ends = [
        line.index(text) + len(text) for line, text in zip(lines, ("median", "2.00", "1,234"), strict=True)
    ]
    assert len(set(ends)) == 1


@pytest.mark.parametrize(
    ("others", "name"), [(0.01, "speed-lean-a-cpu-3-ghz-2.json"), (0.3, "speed-lean-a-cpu-3-ghz-2.busy.json")]
)
def test_a_result_is_kept_beside_its_machine_and_a_disturbed_one_apart(tmp_path, capsys, others, name):
    rows = [make_row("ours", "pictures/s", [3.0, 1.0, 2.0]), make_row("nothing", "", [math.nan])]
    path = report_result(
        "speed",
        rows,
        machine=machine(),
        others=others,
        settings={"batch": 32},
        folder=tmp_path / "new",
        variant="lean",
    )
    assert path == tmp_path / "new" / name
    kept = json.loads(path.read_text())
    assert kept["quiet"] is (others == 0.01)
    assert kept["rows"][0]["values"] == [3.0, 1.0, 2.0]
    assert kept["rows"][0]["median"] == 2.0
    assert kept["rows"][1]["median"] is None
    kept["rows"].pop()
    assert msgspec.convert(kept, Result).machine == machine()
    shown = capsys.readouterr().out
    assert "A CPU @ 3 GHz, 2 cores" in shown
    assert "batch 32" in shown
    assert ("these numbers are no measurement" in shown) is (others == 0.3)
    assert "bench/results/*.busy.json" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["throughput", "--dataset", "hihg"], "no data set called 'hihg'; did you mean high?"),
        (["quality", "--dataset", "hihg"], "no data set called 'hihg'; did you mean high?"),
        (["scaling", "--device", "abacus"], "--device abacus: expected auto, cpu, cuda"),
    ],
)
def test_a_mistake_in_an_option_is_an_error_before_anything_starts(arguments, message):
    with pytest.raises(UserError, match=message):
        bench(arguments, standalone_mode=False)
