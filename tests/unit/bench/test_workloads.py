"""Workloads of the benchmarks: trainings, samplers, the dashboard. No test depends on speed."""

import itertools
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from bench.baselines import checkpointed_training
from bench.baselines.registry import with_torch_convolutions
from bench.baselines.training_loops import count_parameters, nearest_size, without_output
from bench.baselines.worker_process import WorkerSettings, combined_work, run_benchmarks, start_workers
from bench.cases import all as everything
from bench.cases.concurrency import thread_groups
from bench.cases.menu import BENCHMARKS, main
from bench.cases.quality import parse_times, train_ours, train_peer
from bench.cases.sampling import (
    SamplingConfig,
    fewest_calls,
    sample_interleaved,
    sampling_configs,
    within_budget,
)
from bench.cases.scaling import AXES, point_label, result_rows, scaling_points
from bench.harness import subprocess_training
from bench.harness.workloads import (
    endless_config,
    noise_set,
    plain_config,
    recipe_config,
    thesis_loop,
    training_work,
    with_settings,
)
from bench.harness.yardsticks import step_flops
from bench.tui.fake_finished_runs import write_finished_runs
from bench.tui.pty_session import PtySession, visible_text
from core.data import load_dataset
from core.diffusion.models.lean_unet import LeanUNet
from core.diffusion.models.thesis_unet import ThesisUNet
from core.errors import UserError
from core.evaluation.sampling import BATCH, draw_samples, to_unit
from core.runs import MetricsTail, RunStore, State
from core.training.checkpoint import LoadedModel, Position, make_diffusion


def test_operations_are_counted_forwards_and_backwards():
    n, size, widths = 3, 8, (1, 4, 2)
    layers = [nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths)]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x, t):
            return self.layers(x)

    trainer = SimpleNamespace(model=Net(), channels=1, size=size, device=torch.device("cpu"))
    first, second = (2 * n * size**2 * 9 * a * b for a, b in itertools.pairwise(widths))
    # Backwards, each layer costs once for its kernel, and once for its input if that has a gradient.
    assert step_flops(trainer, n) == 2 * first + 3 * second
    assert all(layer.weight.grad is None for layer in layers)


def test_our_training_is_work_counted_in_images():
    config = endless_config(recipe_config("lean"), batch=16)
    work = training_work(plain_config(config), noise_set(32, 8), torch.device("cpu"))
    done = [work() for _ in range(2)]
    assert all(images >= 16 and images % 16 == 0 for images in done)


def test_a_plain_configuration_has_nothing_that_the_printed_loop_has_not():
    config = plain_config(endless_config(recipe_config("lean"), batch=16))
    train = config.train
    assert (train.optimizer, train.precision, train.augment, train.ema_decay) == ("adam", "fp32", "none", 0.0)
    assert (train.stratified_timesteps, train.compile) == (False, False)
    assert config.model == recipe_config("lean").model


def test_the_printed_loop_learns_a_batch_a_step():
    torch.manual_seed(0)
    model = nn.Conv2d(1, 1, 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = model

        def forward(self, x, t):
            return self.map(x)

    before = model.weight.detach().clone()
    steps = list(itertools.islice(thesis_loop(Net(), noise_set(40, 8), 16, torch.device("cpu")), 5))
    assert steps == [16] * 5
    assert not torch.equal(model.weight, before)


def test_the_network_of_the_nearest_size_is_taken():
    for wanted, width in ((1, 8), (82, 8), (200, 16), (10**6, 64), (16 * 17 - 1, 16)):
        assert nearest_size(lambda n: nn.Linear(n, n), range(8, 65, 8), wanted).in_features == width
    assert count_parameters(nn.Linear(3, 4)) == 16


def test_the_output_of_a_peer_is_hidden(capsys):
    def loop():
        for done in (1, 2):
            print("out")
            print("err", file=sys.stderr)
            yield done

    quiet = without_output(loop())
    assert [next(quiet), next(quiet)] == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_sampling_configurations_are_the_requested_ones_cheapest_first():
    found = sampling_configs("ddim, ddpm", "10,T,2,50", timesteps=20)
    assert [way.calls for way in found] == [2, 2, 2, 10, 10, 10, 20, 20, 20]
    assert [way.name for way in found[:3]] == ["ddpm, 2 calls", "ddim eta 0, 2 calls", "ddim eta 1, 2 calls"]
    assert {way.sampler for way in sampling_configs("dpm++", "1", 5)} == {"dpm++"}
    several = sampling_configs("unipc", "2,T", timesteps=5, spacings="uniform,karras", clips="dynamic")
    assert [way.name for way in several] == [
        "unipc clip dynamic, 2 calls",
        "unipc karras clip dynamic, 2 calls",
        "unipc clip dynamic, 5 calls",
    ]


@pytest.mark.parametrize(
    ("samplers", "calls", "message"),
    [
        ("euler", "1", "--samplers euler: expected some of ddpm, ddim, dpm"),
        ("ddim", "0", "--calls 0: expected numbers of at least 1, or T"),
        ("ddim", "1,,2", "--calls : expected numbers"),
        ("ddim", "-3", "--calls -3: expected numbers"),
    ],
)
def test_invalid_sampling_configurations_are_refused(samplers, calls, message):
    with pytest.raises(UserError, match=message):
        sampling_configs(samplers, calls, 100)


def test_each_configuration_samples_like_core_sample_in_any_order():
    class Net(nn.Module):
        def forward(self, x, t):
            return x * 0.9

    config = with_settings(recipe_config("lean"), schedule={"timesteps": 6})
    position = Position(
        epoch=1, batch=0, step=1, losses=[], elapsed=0.0, metrics_offset=0, channels=1, size=8
    )
    loaded = LoadedModel(Net(), make_diffusion(config), config, position)
    chosen = [SamplingConfig("ddpm", 0.0, 3), SamplingConfig("ddim", 1.0, 2, "karras", "none")]
    drawn, rates = sample_interleaved(loaded, chosen, BATCH + 2)
    own = {"ddpm": {}, "ddim": {"eta": 1.0}}
    for way in chosen:
        asked = {"sampler": way.sampler, "steps": way.calls, "spacing": way.spacing, "clip": way.clip}
        config = with_settings(loaded.config, sample=asked | own[way.sampler])
        run = LoadedModel(loaded.model, loaded.diffusion, config, position)
        expected = [draw_samples(run, size, seed=seed) for seed, size in enumerate((BATCH, 2))]
        np.testing.assert_array_equal(drawn[way], to_unit(np.concatenate(expected)))
        assert len(rates[way]) == 2
        assert min(rates[way]) > 0


def test_what_would_take_too_long_is_left_out_and_named():
    wanted = [SamplingConfig("ddpm", 0.0, calls) for calls in (1, 10, 100)]
    assert within_budget(wanted, 11.5, count=10, seconds_of_a_call=0.1) == (wanted[:2], wanted[2:])
    assert within_budget(wanted, 111.5, count=10, seconds_of_a_call=0.1) == (wanted, [])
    assert within_budget(wanted, 0.1, count=10, seconds_of_a_call=0.1) == (wanted[:1], wanted[1:])


def test_the_fewest_calls_are_the_first_that_are_nearly_as_good_as_the_best():
    rates = {
        SamplingConfig("ddim", 0.0, calls): rate
        for calls, rate in ((1, 0.1), (10, 0.77), (50, 0.8), (100, 0.79))
    }
    assert fewest_calls(rates) == SamplingConfig("ddim", 0.0, 10)
    assert fewest_calls({SamplingConfig("ddim", 0.0, 1): 0.0}) is None
    assert fewest_calls({}) is None


@pytest.mark.parametrize(
    ("cores", "groups"), [(1, [(1, 1), (5, 1)]), (2, [(1, 2), (5, 1), (2, 1)]), (16, [(1, 16), (5, 3)])]
)
def test_runs_at_once_share_the_cores_that_runs_in_turn_have_to_themselves(cores, groups):
    assert list(thread_groups(5, cores).values()) == groups


def test_a_training_in_a_worker_process_runs_trials_on_request():
    settings = WorkerSettings(network="lean", batch=16, size=8, count=32, threads=1, device="cpu")
    with start_workers([settings]) as workers:
        assert workers[0].wait_until_ready() > 0
        assert workers[0].parameters == count_parameters(LeanUNet())
        work = combined_work(workers, 0.05)
        assert work() % 16 == work() % 16 == 0


def test_the_printed_loop_trains_in_a_process_like_a_script_of_its_own():
    settings = WorkerSettings(
        network="lean", batch=16, size=8, count=32, threads=1, device="cpu", contender="the printed loop"
    )
    assert not settings.is_ours
    with start_workers([settings]) as workers:
        assert workers[0].wait_until_ready() > 0
        assert combined_work(workers, 0.05)() % 16 == 0


def test_the_printed_network_computes_the_same_with_torch_s_own_convolutions():
    model = ThesisUNet(1, (8, 8, 8)).eval()
    x = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0, 9])
    expected = model(x, t)
    assert type(with_torch_convolutions(model).downs[0].conv1) is nn.Conv2d
    torch.testing.assert_close(model(x, t), expected)


def test_a_training_process_that_ends_by_itself_is_said_so():
    settings = WorkerSettings(network="lean", batch=16, size=0, count=32, threads=1, device="cpu")
    with (
        start_workers([settings]) as workers,
        pytest.raises(UserError, match="ended by itself, with 1; see above"),
    ):
        workers[0].wait_until_ready()


_TRAINS_AND_DRAWS = """
import json, sys
from pathlib import Path
import numpy as np

settings = json.loads(Path(sys.argv[1]).read_text())
out = Path(settings["out"])
for index, _ in enumerate(settings["times"]):
    np.save(out / f"{index}.npy", np.full((settings["count"], 1, 8, 8), index, np.float32))
(out / "trained.json").write_text(json.dumps([seconds + 0.5 for seconds in settings["times"]]))
"""


def test_samples_of_a_peers_training_are_named_by_their_time(tmp_path, monkeypatch):
    settings = checkpointed_training.CheckpointedSettings(
        name=checkpointed_training.PEER_PIPELINES[1],
        dataset="high",
        times=[1, 2],
        count=3,
        device="cpu",
        threads=1,
        out=str(tmp_path),
    )

    def stands_in(code):
        monkeypatch.setattr(
            subprocess_training,
            "module_command",
            lambda module, file, processes: [sys.executable, "-c", code, file],
        )

    stands_in(_TRAINS_AND_DRAWS)
    found = train_peer(settings)
    assert [(name, passed) for name, passed, _ in found] == [
        ("diffusers, own net, 1 s", 1.5),
        ("diffusers, own net, 2 s", 2.5),
    ]
    assert [drawn.mean() for *_, drawn in found] == [0, 1]
    stands_in("exit(3)")
    with pytest.raises(UserError, match="ended by itself, with 3; see above"):
        train_peer(settings)


def test_benchmarks_that_fail_are_named_when_all_have_run(capfd):
    with pytest.raises(UserError, match=r"^check, no-such, nor-this: failed; see above$"):
        run_benchmarks([["no-such"], ["--help"], ["nor-this"]], failed=["check"])
    output = capfd.readouterr().out
    offsets = [output.index(f"=== {name}\n") for name in ("no-such", "--help", "nor-this")]
    assert offsets == sorted(offsets)
    assert offsets[1] < output.index("throughput") < offsets[2]
    run_benchmarks([["--help"]])


def test_all_axes_share_one_point_and_their_exponents_are_found():
    points = scaling_points(tuple(AXES))
    assert len(points) == 1 + sum(len(values) - 1 for values in AXES.values())
    powers = {"batch": 1.0, "size": 2.0, "width": 1.5, "T": 0.0}
    base = points["base"]
    rates = {
        label: [
            rate / math.prod((point[axis] / base[axis]) ** powers[axis] for axis in AXES)
            for rate in (5.0, 9.0)
        ]
        for label, point in points.items()
    }
    rows = {one.name: one for one in result_rows(rates, tuple(AXES))}
    for axis, power in powers.items():
        assert rows[f"{axis}, exponent"].median == pytest.approx(power, abs=1e-12)
    assert rows["base"].values == pytest.approx([200.0, 1000 / 9])
    assert point_label("size", 64) == "size 64"


def test_text_is_what_was_painted_without_colours_and_movements():
    assert visible_text(b"\x1b[?1049h\x1b[1;1H\x1b[38;2;1;2;3mq\x1b[0m quit\x1b]0;title\x07!") == "q quit!"


def test_a_terminal_knows_when_text_came_and_when_a_key_was_answered(tmp_path):
    program = "import sys\nprint('there', flush=True)\nfor line in sys.stdin: print('again', flush=True)"
    terminal = PtySession([sys.executable, "-S", "-c", program], folder=tmp_path, environment={})
    try:
        first = terminal.seconds_until("there")
        assert first > 0
        assert 0 < terminal.key_latency("\n") < 60
        assert terminal.seconds_until("again") >= first
        assert terminal.cpu_share(0.05) >= 0
    finally:
        terminal.close()


def test_a_program_that_ends_without_a_word_is_said_so(tmp_path):
    terminal = PtySession([sys.executable, "-S", "-c", "print('other')"], folder=tmp_path, environment={})
    try:
        with pytest.raises(UserError, match="waited in vain for there; the last words: 'other"):
            terminal.seconds_until("there")
    finally:
        terminal.close()


def test_runs_for_the_dashboard_are_real_runs(tmp_path):
    write_finished_runs(tmp_path, count=5, steps=35)
    infos = RunStore(tmp_path).infos()
    assert [info.state for info in infos] == [State.FINISHED] * 5
    assert len({info.file.group for info in infos}) == 1
    tail = MetricsTail(infos[0].directory.metrics_file)
    assert tail.poll()
    assert tail.steps.tolist() == list(range(1, 36))
    assert len(tail.epochs) == len(infos[0].directory.sample_sheets()) == 16


def test_help_names_all_benchmarks_and_each_can_be_asked_for_its_own():
    runner = CliRunner()
    text = runner.invoke(main, ["--help"]).output
    for name in BENCHMARKS:
        assert name in text
        assert "usage" in runner.invoke(main, [name, "--help"]).output.lower()
    assert runner.invoke(main, ["no-such"]).exit_code == 2


def test_all_means_each_benchmark_and_sampling_where_there_is_a_run(tmp_path, capsys):
    assert [words[0] for words in everything.benchmark_commands(tmp_path)] == list(everything.WITHOUT_RUN)
    assert "sampling is left out" in capsys.readouterr().out
    write_finished_runs(tmp_path, count=5, steps=16)
    assert everything.benchmark_commands(tmp_path)[-1] == ["sampling", "run-0004", "--runs", str(tmp_path)]
    assert {*everything.WITHOUT_RUN, *everything.ONLY_ON_REQUEST, "sampling", "all"} == set(BENCHMARKS)


def test_times_are_sorted_and_what_is_no_time_is_refused():
    assert parse_times("900, 300,300") == [300.0, 900.0]
    for wrong in ("", "soon", "0", "-1", "nan", "inf"):
        with pytest.raises(UserError, match="expected seconds above 0"):
            parse_times(wrong)


def test_a_training_for_a_time_has_at_least_one_epoch_and_draws_as_many_images_as_asked_for(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    (tmp_path / "tiny.toml").write_text("count = 32\nheldout = 4\nsize = 8\nstorage = 'array'\n")
    recipe = with_settings(
        plain_config(recipe_config("lean")),
        data={"dataset": str(tmp_path / "tiny.toml")},
        schedule={"timesteps": 10},
        train={"batch_size": 16, "seed": 7},
        sample={"steps": 2},
    )
    images = load_dataset(recipe.data.dataset)
    [(name, passed, drawn)] = train_ours(recipe, 0.001, 3, images, "cpu", threads=1)
    assert name == "ours, 0.001 s"
    assert passed > 0
    assert drawn.shape == (3, 1, 8, 8)
    assert 0 <= drawn.min() < drawn.max() <= 1
