"""Comparison of runs: rows and their labels, pooling over seeds, winners, order, notes."""

import tracemalloc
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from core.comparison.compare import Comparison, compare
from core.comparison.grouping import read_members
from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.config.schema import DataConfig, ModelConfig
from core.errors import UserError
from core.runs import Evaluation, RunStore, add_evaluation
from core.statistics.estimate import Estimate
from tests.support.fake_runs import CREATED, make_run

BARE = {"images": False}


def evaluation(metrics: dict[str, Estimate], **changes: object) -> Evaluation:
    made = Evaluation(
        created="2026-11-24T10:00:00+00:00",
        epoch=10,
        step=400,
        dataset="high",
        count=500,
        heldout=2000,
        sampler="ddpm",
        steps=300,
        metrics=metrics,
    )
    return msgspec.structs.replace(made, **changes)


def share(successes: int, trials: int) -> Estimate:
    interval = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high))


def evaluated_run(
    root: Path, schedule: str, rate: float, *, seed: int = 0, place: int = 0, **more: object
) -> None:
    run = make_run(
        root, schedule=schedule, seed=seed, created=CREATED + timedelta(seconds=place), images=False, **more
    )
    add_evaluation(
        run, evaluation({"pass_rate": share(round(500 * rate), 500)}, dataset=run.read().config.data.dataset)
    )


def comparison(root: Path, **options: object) -> Comparison:
    members, problems = read_members(RunStore(root).infos())
    assert problems == []
    return compare(members, **options)


def test_a_clear_winner_is_alone_and_ties_are_named_together(tmp_path):
    for place, (schedule, rate) in enumerate((("x^10", 0.1), ("linear", 0.9), ("sine", 0.89))):
        evaluated_run(tmp_path, schedule, rate, place=place)
    found = comparison(tmp_path)
    assert [row.label for row in found.rows] == ["x^10", "linear", "sine"]
    assert found.best("high", "pass_rate") == ["linear", "sine"]
    clear = [(pair.better, pair.worse) for pair in found.pairs if pair.is_significant]
    assert clear == [("linear", "x^10"), ("sine", "x^10")]
    two = compare(read_members(RunStore(tmp_path).infos()[:2])[0])
    assert two.best("high", "pass_rate") == ["linear"]


def test_no_row_wins_where_differences_are_noise_or_no_direction_is_better(tmp_path):
    for place, schedule in enumerate(("linear", "sine")):
        run = make_run(tmp_path, schedule=schedule, created=CREATED + timedelta(seconds=place), **BARE)
        metrics = {
            "pass_rate": share(450 + place, 500),
            "near_empty": share(10 + 300 * place, 500),
            "mmd": Estimate(float(place)),
        }
        add_evaluation(run, evaluation(metrics))
    found = comparison(tmp_path)
    for metric in ("pass_rate", "near_empty", "mmd", "loss"):
        assert found.best("high", metric) == []
    assert {pair.metric for pair in found.pairs} == {"pass_rate"}


def test_ten_equal_runs_have_no_winner(tmp_path):
    rng = np.random.default_rng(3)
    for place in range(10):
        evaluated_run(tmp_path, "linear", rng.binomial(500, 0.5) / 500, seed=place, place=place)
    found = comparison(tmp_path)
    assert len(found.pairs) == 45
    assert min(pair.p for pair in found.pairs) < 0.05
    assert found.best("high", "pass_rate") == []


def test_runs_on_other_data_are_not_compared(tmp_path):
    evaluated_run(tmp_path, "linear", 0.9)
    evaluated_run(tmp_path, "linear", 0.1, place=1, dataset="low")
    found = comparison(tmp_path)
    assert list(found.pairs) == []
    assert found.datasets == ("high", "low")
    assert [row.label for row in found.rows] == ["linear", "linear"]


def test_runs_evaluated_otherwise_are_not_compared_and_a_note_explains_it(tmp_path):
    evaluated_run(tmp_path, "linear", 0.9)
    run = make_run(tmp_path, schedule="sine", **BARE)
    add_evaluation(run, evaluation({"pass_rate": share(5, 100)}, count=100))
    found = comparison(tmp_path)
    assert list(found.pairs) == []
    assert "not all runs were evaluated alike" in found.notes[0]


def test_reconstruction_from_half_of_T_is_compared_under_one_schedule_only(tmp_path):
    for place, (schedule, seed) in enumerate((("x^10", 0), ("linear", 0), ("linear", 1))):
        created = CREATED + timedelta(seconds=place)
        run = make_run(tmp_path, schedule=schedule, seed=seed, created=created, **BARE)
        decibels = 20.0 + 5 * place
        add_evaluation(
            run, evaluation({"reconstruction_psnr": Estimate(decibels, decibels - 0.1, decibels + 0.1)})
        )
    found = comparison(tmp_path)
    assert [(pair.better, pair.worse) for pair in found.pairs] == [("linear s1", "linear s0")]
    assert not found.is_comparable("high", "reconstruction_psnr")
    assert found.best("high", "reconstruction_psnr") == []
    alike = compare(read_members(RunStore(tmp_path).infos()[1:])[0])
    assert alike.is_comparable("high", "reconstruction_psnr")
    assert alike.best("high", "reconstruction_psnr") == ["linear s1"]


def test_the_protocol_that_all_runs_share_is_taken_rather_than_a_newer_one(tmp_path):
    evaluated_run(tmp_path, "linear", 0.9)
    evaluated_run(tmp_path, "sine", 0.5, place=1)
    newer = {"count": 10, "created": "2026-11-30T10:00:00+00:00"}
    add_evaluation(RunStore(tmp_path).runs()[0], evaluation({"pass_rate": share(1, 10)}, **newer))
    found = comparison(tmp_path)
    assert [row.scores["pass_rate"].estimate.value for row in found.rows] == [0.9, 0.5]
    assert found.best("high", "pass_rate") == ["linear"]


def test_of_several_shared_protocols_that_with_most_numbers_is_taken_and_then_the_newest(tmp_path):
    run = make_run(tmp_path, **BARE)
    full = {"pass_rate": share(400, 500), "haze": Estimate(0.1)}
    add_evaluation(run, evaluation(full, created="2026-11-24T10:00:00+00:00"))
    add_evaluation(run, evaluation(full, steps=50, created="2026-11-25T10:00:00+00:00"))
    add_evaluation(run, evaluation({"haze": Estimate(0.2)}, steps=10, created="2026-11-26T10:00:00+00:00"))
    (member,), _ = read_members(RunStore(tmp_path).infos())
    assert member.evaluation is not None
    assert member.evaluation.steps == 50


def test_pooled_rows_are_means_over_seeds_with_wider_intervals(tmp_path):
    for seed, rates in enumerate(((0.9, 0.3), (0.8, 0.4))):
        for place, (schedule, rate) in enumerate(zip(("linear", "x^10"), rates, strict=True)):
            evaluated_run(tmp_path, schedule, rate, seed=seed, place=2 * seed + place)
    found = comparison(tmp_path, by=("dataset", "schedule"))
    assert [(row.label, row.seeds, len(row.members)) for row in found.rows] == [
        ("linear", (0, 1), 2),
        ("x^10", (0, 1), 2),
    ]
    for row, mean in zip(found.rows, (0.85, 0.35), strict=True):
        pooled = row.scores["pass_rate"].estimate
        assert pooled.value == pytest.approx(mean)
        assert pooled.high is not None
        # Each seed is 0.05 from the mean; two degrees of freedom.
        assert pooled.high - mean == pytest.approx(min(1 - mean, 4.3027 * 0.05), rel=0.02)
    assert not any("one training" in text for text in found.notes)
    assert {row.scores["loss"].df for row in found.rows} == {2}


def test_runs_pooled_though_they_differ_in_more_than_their_seed_are_noted(tmp_path):
    evaluated_run(tmp_path, "linear", 0.9, epochs=10)
    evaluated_run(tmp_path, "linear", 0.9, epochs=12, seed=1, place=1)
    found = comparison(tmp_path, by=("schedule",))
    assert "linear: its runs differ in train.epochs, not only in their seed" in found.notes


def config(name: str = "linear", **changes: object) -> RunConfig:
    given: dict[str, object] = {"schedule": ScheduleConfig(name=name), **changes}
    return RunConfig(**given)  # type: ignore[arg-type]  # sections by name, whatever they are


@pytest.mark.parametrize(
    ("configs", "labels"),
    [
        ([config(), config("sine")], ["linear", "sine"]),
        ([config(), config(train=TrainConfig(seed=1))], ["linear s0", "linear s1"]),
        (
            [
                config(),
                config(schedule=ScheduleConfig(name="linear", zero_terminal_snr=True)),
                config("sine"),
            ],
            ["linear", "linear zero-SNR", "sine"],
        ),
        (
            [config("x^10"), config(schedule=ScheduleConfig(name="x^10", beta_end=0.1055))],
            ["x^10 beta_end=0.02", "x^10 beta_end=0.1055"],
        ),
        (
            [config(model=ModelConfig(preset="lean")), config(model=ModelConfig(preset="thesis"))],
            ["linear preset=lean", "linear preset=thesis"],
        ),
        ([config(), config()], ["linear 0000", "linear 0001"]),
    ],
)
def test_a_label_is_the_schedule_and_the_least_that_tells_it_from_others(tmp_path, configs, labels):
    for place, made in enumerate(configs):
        make_run(
            tmp_path,
            config=made,
            run_id=f"run-{place:04}",
            created=CREATED + timedelta(seconds=place),
            **BARE,
        )
    assert [row.label for row in comparison(tmp_path).rows] == labels


def test_by_a_setting_of_ones_own(tmp_path):
    for place, width in enumerate((16, 32, 16)):
        made = config(model=ModelConfig(width=width), train=TrainConfig(seed=place))
        make_run(
            tmp_path, config=made, run_id=f"run-{place}", created=CREATED + timedelta(seconds=place), **BARE
        )
    found = comparison(tmp_path, by=("model.width",))
    assert [(row.label, row.seeds) for row in found.rows] == [
        ("linear width=16", (0, 2)),
        ("linear width=32", (1,)),
    ]


def test_schedules_of_other_lengths_are_not_pooled(tmp_path):
    for place, timesteps in enumerate((300, 1000)):
        made = config(schedule=ScheduleConfig(name="linear", timesteps=timesteps))
        make_run(
            tmp_path, config=made, run_id=f"run-{place}", created=CREATED + timedelta(seconds=place), **BARE
        )
    labels = [row.label for row in comparison(tmp_path, by=("schedule",)).rows]
    assert labels == ["linear timesteps=300", "linear timesteps=1000"]


def test_two_folders_of_one_name_are_two_data_sets(tmp_path):
    for place, dataset in enumerate(("/here/cats", "/there/cats", "/there/dogs")):
        made = config(data=DataConfig(dataset=dataset))
        make_run(
            tmp_path, config=made, run_id=f"run-{place}", created=CREATED + timedelta(seconds=place), **BARE
        )
    assert comparison(tmp_path).datasets == ("/here/cats", "/there/cats", "dogs")


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", ["x^10", "linear", "sine", "x^2"]),
        ("pass_rate", ["linear", "sine", "x^10", "x^2"]),
        ("loss", ["linear", "sine", "x^2", "x^10"]),
        ("haze", ["sine", "linear", "x^10", "x^2"]),
    ],
)
def test_rows_are_sorted_best_first_and_those_without_a_value_last(tmp_path, sort, order):
    rates = {"x^10": 0.2, "linear": 0.9, "sine": 0.8}
    for place, (schedule, rate) in enumerate(rates.items()):
        evaluated_run(tmp_path, schedule, rate, place=place)
    make_run(tmp_path, schedule="x^2", created=CREATED + timedelta(seconds=9), **BARE)
    for run, haze in zip(RunStore(tmp_path).runs()[1:3], (0.2, 0.1), strict=True):
        add_evaluation(run, evaluation({"haze": Estimate(haze)}))
    assert [row.label for row in comparison(tmp_path, sort=sort).rows] == order


def test_sorting_keeps_the_data_sets_apart(tmp_path):
    for place, (dataset, rate) in enumerate((("low", 0.5), ("high", 0.9), ("low", 0.6))):
        evaluated_run(tmp_path, "linear", rate, seed=place, place=place, dataset=dataset)
    found = comparison(tmp_path, sort="pass_rate")
    assert [(row.dataset, row.scores["pass_rate"].estimate.value) for row in found.rows] == [
        ("low", 0.6),
        ("low", 0.5),
        ("high", 0.9),
    ]


def test_only_settings_that_differ_are_listed(tmp_path):
    make_run(tmp_path, schedule="linear", epochs=10, **BARE)
    make_run(tmp_path, schedule="sine", epochs=12, created=CREATED + timedelta(seconds=1), **BARE)
    found = comparison(tmp_path)
    assert found.differences == {"schedule.name": ("linear", "sine"), "train.epochs": ("10", "12")}
    assert compare(read_members(RunStore(tmp_path).infos()[:1])[0]).differences == {}


def test_the_schedules_terminal_facts_stand_beside_the_results(tmp_path):
    make_run(tmp_path, schedule="linear", **BARE)
    made = config(schedule=ScheduleConfig(name="custom", file=str(tmp_path / "gone.npy")))
    make_run(tmp_path, config=made, run_id="custom", created=CREATED + timedelta(seconds=1), **BARE)
    linear, custom = comparison(tmp_path).rows
    assert linear.terminal is not None
    assert linear.terminal.alpha_bar == pytest.approx(4.036e-5, rel=1e-3)
    assert linear.terminal.snr == pytest.approx(4.036e-5, rel=1e-3)
    assert custom.terminal is None


def test_a_run_trained_on_after_its_evaluation_is_noted(tmp_path):
    run = make_run(tmp_path, epochs=10, **BARE)
    add_evaluation(run, evaluation({"haze": Estimate(0.1)}, epoch=4, step=4))
    assert f"trained further since they were evaluated: {run.id} at epoch 4" in comparison(tmp_path).notes


def test_runs_that_were_not_evaluated_are_compared_by_their_losses(tmp_path):
    for place in range(5):
        make_run(tmp_path, seed=place, created=CREATED + timedelta(seconds=place), **BARE)
    found = comparison(tmp_path)
    (group,) = {row.members[0].info.file.group for row in found.rows}
    assert found.notes == (
        f"not evaluated yet: {', '.join(r.members[0].info.id for r in found.rows[:3])} and 2 more; "
        f"core evaluate {group} --new",
    )
    assert set(found.rows[0].scores) == {"loss", "heldout"}


def test_a_run_without_an_epoch_has_no_loss(tmp_path):
    make_run(tmp_path, epoch=0, **BARE)
    (row,) = comparison(tmp_path).rows
    assert row.scores == {}


def test_what_real_images_score_is_gathered_from_the_evaluations(tmp_path):
    for place, name in enumerate(("haze", "pass_rate")):
        run = make_run(tmp_path, seed=place, created=CREATED + timedelta(seconds=place), **BARE)
        add_evaluation(run, evaluation({name: Estimate(0.5)}, real={name: Estimate(0.9)}))
    found = comparison(tmp_path)
    assert found.real_metrics("high") == {"haze": Estimate(0.9), "pass_rate": Estimate(0.9)}
    assert found.real_metrics("low") == {}


def test_a_damaged_evaluation_is_reported_and_the_others_are_compared(tmp_path):
    evaluated_run(tmp_path, "linear", 0.9)
    evaluated_run(tmp_path, "sine", 0.9, place=1)
    damaged = RunStore(tmp_path).runs()[1]
    (damaged.path / "evaluation.json").write_text("[{}]")
    members, problems = read_members(RunStore(tmp_path).infos())
    assert [member.evaluation is None for member in members] == [False, True]
    assert len(problems) == 1
    assert str(damaged.path) in problems[0]


def test_unknown_names_are_explained_with_those_that_are_known(tmp_path):
    make_run(tmp_path, **BARE)
    with pytest.raises(UserError, match=r"--sort weather: expected one of loss, heldout, balanced_pass_rate"):
        comparison(tmp_path, sort="weather")
    with pytest.raises(
        UserError, match=r"--by weather: expected one of dataset, schedule, seed, .*train\.epochs"
    ):
        comparison(tmp_path, by=("weather",))
    with pytest.raises(UserError, match="no runs to compare"):
        compare([])


def test_a_comparison_of_many_runs_keeps_neither_their_losses_nor_an_object_per_pair(tmp_path):
    for place in range(30):
        evaluated_run(tmp_path, "linear", 0.3 + place / 100, seed=place, place=place)
    tracemalloc.start()
    members, _ = read_members(RunStore(tmp_path).infos())
    found = compare(members)
    assert tracemalloc.get_traced_memory()[0] < 1 << 21
    tracemalloc.stop()
    assert len(found.pairs) == 30 * 29 / 2
    assert found.pairs[:2] == [found.pairs[0], found.pairs[1]]
    steps, losses = members[0].read_losses()
    assert len(steps) == len(losses) == members[0].last_step
