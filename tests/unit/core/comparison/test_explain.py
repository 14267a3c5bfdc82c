"""Explanations of runs whose cause is known, because their samples are made to have it."""

import numpy as np
import pytest

from core.comparison.causes import PARTS, Part, decompose, distances, estimate
from core.comparison.explain import Explanation, RunExplanation, Subject, explain
from core.config import RunConfig
from core.config.load import decode
from core.runs import EpochRecord
from core.runs.interventions import Interventions, SampleKinds, Variant
from core.statistics.noise_error import Array

COUNT = 256
GOOD = 0.9
"""Share of the samples of a good way that pass."""
ALL_VARIANTS: dict[Variant, float] = {
    "own": GOOD,
    "images": GOOD,
    "gaussian": GOOD,
    "finer": GOOD,
    "images+finer": GOOD,
}


def config(**train: object) -> RunConfig:
    return decode({"data": {"dataset": "high"}, "train": train}, RunConfig, source="test")


def drawn(passed: float, *, narrow: bool = False, seed: int = 0) -> SampleKinds:
    """Samples of which a share passes, of all kinds, or of half of them."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(COUNT) % (5 if narrow else 10))
    kinds[rng.permutation(COUNT)[: round((1 - passed) * COUNT)]] = -1
    return SampleKinds(kinds=kinds.tolist(), brightness=0.2)


def subject(
    label: str,
    changes: dict[Variant, float] | None = None,
    *,
    train: dict[str, object] | None = None,
    heldout: tuple[float, ...] = (0.08, 0.0799),
    curve: float = 1.0,
    train_curve: float | None = None,
    **fields: object,
) -> Subject:
    """A run, of whose samples given shares pass in each way; the noise error is that of a Gaussian, times a factor."""
    levels = np.linspace(-9, 7, 24)
    error = curve * np.exp(levels) / (1 + np.exp(levels))
    ratio = (train_curve or curve) / curve

    def curves(name: str, values: Array, spread: float) -> dict[str, list[float | None]]:
        return {
            name: values.tolist(),
            f"{name}.low": (values - spread * error).tolist(),
            f"{name}.high": (values + spread * error).tolist(),
        }

    found = {
        way: drawn(share, seed=number)
        for number, (way, share) in enumerate((ALL_VARIANTS | (changes or {})).items())
    }
    interventions = Interventions(
        created="2026-01-01T00:00:00Z",
        epoch=2,
        step=300,
        dataset="high",
        count=COUNT,
        seed=0,
        sampling={},
        steps=10,
        finer_steps=30,
        drawn=found,
        real=drawn(0.95, seed=99),
        curves={"noise_error.x": levels.tolist()}
        | curves("noise_error", error, 0.05)
        | curves("noise_error.train", ratio * error, 0.05)
        | curves("noise_error.over_train", (1 - ratio) * error, 0.05),
        **{"sampler": "churn"} | fields,  # type: ignore[arg-type]
    )
    epochs = tuple(
        EpochRecord(
            epoch=number,
            step=150 * number,
            elapsed=1.0,
            mean=0.1,
            min=0.1,
            max=0.1,
            heldout=loss,
            images_per_second=1.0,
            learning_rate=1e-3,
        )
        for number, loss in enumerate(heldout, start=1)
    )
    return Subject(label, config(**(train or {})), epochs, interventions)


def last(*subjects: Subject) -> RunExplanation:
    return explain(subjects).runs[-1]


def test_a_broken_start_is_named_first() -> None:
    run = last(subject("best"), subject("x^10", {"own": 0.3, "finer": 0.35, "gaussian": 0.6}))
    assert [cause.name for cause in run.causes] == ["start"]
    assert run.causes[0].share == pytest.approx(0.95, abs=0.1)
    assert "From real noised images it misses" in run.causes[0].text
    assert "--start gaussian" in run.causes[0].text


def test_too_few_steps_are_named_first() -> None:
    run = last(subject("best"), subject("short", {"own": 0.3, "images": 0.33}))
    assert run.causes[0].name == "steps"
    assert "10 network calls are too few for churn" in run.causes[0].text


def test_noise_of_a_wrong_variance_is_named_before_the_steps_that_would_help_too() -> None:
    run = last(subject("best"), subject("noisy", {"own": 0.3, "images": 0.3, "quiet": 0.85}))
    assert [cause.name for cause in run.causes] == ["added_noise", "steps"]
    assert "beta_tilde" not in run.causes[0].text  # its sampler, churn, has no variance of the process


def test_the_variance_of_the_process_is_named_where_its_noise_is_the_fault() -> None:
    changes: dict[Variant, float] = {"own": 0.3, "images": 0.3, "quiet": 0.85}
    run = last(subject("best"), subject("noisy", changes, sampler="ddpm"))
    assert 'diffusion.variance = "beta_tilde" adds less' in run.causes[0].text


def test_a_network_that_was_trained_too_little_is_named_first() -> None:
    bad: dict[Variant, float] = dict.fromkeys(ALL_VARIANTS, 0.4)
    run = last(subject("best"), subject("early", bad, train={"epochs": 1}, heldout=(0.2, 0.15), curve=1.5))
    assert run.causes[0].name == "network"
    text = run.causes[0].text
    assert "its noise error is up to 1.5 times that of best" in text
    assert "trained too little" in text
    assert "train.epochs = 1 here" in text


def test_a_network_that_memorises_is_named_first_even_if_its_samples_are_good() -> None:
    run = last(subject("copies", train_curve=0.4, copies=0.3, copy_z=-12.0))
    assert run.causes[0].name == "copying"
    assert "30% are near copies" in run.causes[0].text
    assert "up to 2.5 times that of training images" in run.causes[0].text


def test_a_part_that_others_take_away_from_is_all_of_it_in_words_and_more_in_numbers() -> None:
    run = last(subject("best"), subject("a", {"own": 0.5, "images": 0.4, "finer": 0.4, "images+finer": 0.4}))
    (cause,) = run.causes
    assert cause.share is not None
    assert cause.share > 1.1
    assert cause.text.startswith("All of the difference is the network. ")


def test_several_parts_that_are_more_than_all_of_it_are_named_by_their_amounts() -> None:
    lower: dict[Variant, float] = {"own": 0.5, "images": 0.25, "finer": 0.75, "images+finer": 0.5}
    run = last(subject("best"), subject("a", lower))
    assert [cause.text.split(".")[0] for cause in run.causes] == [
        "The network adds 0",
        "The steps of sampling add 0",
    ]


def test_two_seeds_of_one_run_have_no_cause() -> None:
    run = last(subject("s0"), subject("s1", {"own": GOOD - 0.01}))
    assert run.causes == ()
    assert run.text.startswith("s1: not distinguishable from s0 (difference ")


def test_the_parts_of_a_distance_and_of_a_difference_add_up() -> None:
    worse = subject("a", {"own": 0.2, "images": 0.5, "finer": 0.4, "images+finer": 0.7}).interventions
    better = subject("b").interventions
    for other in (None, distances(better)):
        found = decompose(distances(worse), other)
        assert found.total.value == pytest.approx(sum(found.parts[part].value or 0 for part in PARTS))
        assert sum(found.shares.values()) == pytest.approx(1)


def test_samples_of_half_of_the_kinds_miss_half_of_them() -> None:
    made = subject("narrow").interventions
    made.drawn["own"] = drawn(0.95, narrow=True)
    found = estimate(distances(made).variants["own"])
    assert found.value == pytest.approx(0.5, abs=0.03)


def test_shares_of_parts_follow_what_each_change_improves() -> None:
    shares: dict[Part, float] = decompose(
        distances(subject("a", {"own": 0.1, "images": 0.5, "finer": 0.5, "images+finer": 0.9}).interventions)
    ).shares
    assert shares["start"] == pytest.approx(shares["steps"], abs=0.05)


def test_runs_are_explained_best_first_and_the_best_against_real_images() -> None:
    found: Explanation = explain([subject("bad", {"own": 0.5}), subject("good")])
    assert [run.label for run in found.runs] == ["good", "bad"]
    assert [run.versus for run in found.runs] == ["", "good"]
    assert found.real.value == pytest.approx(0.02, abs=0.01)
