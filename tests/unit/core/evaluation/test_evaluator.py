"""All metrics of samples together: against triangles, and against a folder of images."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.data import ImageSet, load_dataset
from core.data.recipe import DataRecipe
from core.errors import UserError
from core.evaluation import evaluator as evaluate_module
from core.evaluation.evaluator import IMAGE_GROUPS, Evaluator, evaluate_images
from core.evaluation.metrics import Progress
from core.runs import METRICS
from core.runs.metric_definitions import GENERAL_GROUPS, GROUPS, OPTIONAL_GROUPS

SMALL = DataRecipe(
    name="small", kind="triangles", count=150, heldout=150, size=16, canvas=128, storage="png", antialias=True
)

TRIANGLE_GROUPS = [group for group in IMAGE_GROUPS if group not in {*GENERAL_GROUPS, "labels"}]


def unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.astype(np.float32) / 255


@pytest.fixture(scope="module")
def triangles(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return load_dataset(SMALL, data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def evaluator(triangles: ImageSet) -> Evaluator:
    return Evaluator(triangles)


@pytest.fixture(scope="module")
def holiday(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder = tmp_path_factory.mktemp("holiday")
    rng = np.random.default_rng(0)
    for number in range(60):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    recipe = DataRecipe(name="holiday", kind="folder", path=str(folder), size=8)
    return load_dataset(recipe, data_dir=tmp_path_factory.mktemp("data"))


def ellipses(count: int, size: int = 16) -> NDArray[np.float32]:
    """Filled ellipses, light on dark, anti-aliased."""
    rng = np.random.default_rng(4)
    y, x = (np.mgrid[0 : 8 * size, 0 : 8 * size] + 0.5) / 8
    found = []
    for _ in range(count):
        (cx, cy), (a, b) = rng.uniform(5, 11, 2), rng.uniform(2.5, 5, 2)
        inside = ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1
        found.append(inside.reshape(size, 8, size, 8).mean(axis=(1, 3)))
    return np.array(found, dtype=np.float32)[:, None]


class Recorder:
    """A stage that records the progress shown."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, int]]] = {}

    @contextlib.contextmanager
    def __call__(self, doing: str, unit: str) -> Iterator[Progress]:
        assert unit
        yield lambda done, total: self.seen.setdefault(doing, []).append((done, total))


def test_real_triangles_score_as_real_in_everything(evaluator, triangles):
    metrics, curves = evaluator.evaluate(unit(triangles.train[:100]))
    assert set(metrics) == {name for group in TRIANGLE_GROUPS for name in GROUPS[group]}
    for name in ("balanced_pass_rate", "pass_rate", "grey_pass_rate"):
        estimate = metrics[name]
        assert estimate.high is not None
        assert estimate.value is not None
        assert estimate.value > 0.8
        assert estimate.high >= 0.95
    assert metrics["area_ks"].low == 0.0
    assert set(curves) == {"pass_by_decile", "pass_by_decile.x", "area_by_decile", "area_by_decile.x"}
    assert curves["pass_by_decile.x"] == list(range(1, 11))
    counted = [share for share in curves["area_by_decile"] if share is not None]
    near_empty = metrics["near_empty"].value
    assert near_empty is not None
    assert sum(counted) + near_empty == pytest.approx(1.0)


def test_ellipses_are_not_triangles(evaluator):
    metrics, curves = evaluator.evaluate(ellipses(60))
    assert metrics["pass_rate"].value < 0.05
    assert metrics["balanced_pass_rate"].value < 0.05
    assert metrics["area_distance"].value > 0.3
    assert [share for share in curves["pass_by_decile"] if share is not None and share > 0.2] == []


def test_copies_of_training_images_are_caught(evaluator, triangles):
    metrics, _ = evaluator.evaluate(unit(triangles.train[:80]), ["novelty"])
    assert metrics["copy_z"].value < -3
    assert metrics["copies"].value > 0.9
    new, _ = evaluator.evaluate(unit(triangles.heldout[:80]), ["novelty"])
    assert abs(new["copy_z"].value) < 3


@pytest.mark.parametrize("group", TRIANGLE_GROUPS)
def test_each_group_alone_gives_its_numbers_as_all_together_do(evaluator, triangles, group):
    samples = unit(triangles.train[:40])
    everything, _ = evaluator.evaluate(samples)
    alone, _ = evaluator.evaluate(samples, [group])
    assert alone == {name: everything[name] for name in GROUPS[group]}


def test_evaluating_again_gives_the_same_numbers_and_another_seed_nearly_so(triangles):
    samples = unit(triangles.train[:40])
    first, _ = evaluate_images(samples, triangles, groups=["distribution"], seed=1)
    assert evaluate_images(samples, triangles, groups=["distribution"], seed=1)[0] == first
    other, _ = evaluate_images(samples, triangles, groups=["distribution"], seed=2)
    assert other != first
    assert other["mmd"] == first["mmd"]


def test_real_images_are_evaluated_as_if_they_were_samples(evaluator):
    real = evaluator.evaluate_real(100)
    assert set(real) == {
        name for group in evaluator.default_groups if group in IMAGE_GROUPS for name in GROUPS[group]
    } - {"copy_z"}
    assert real["pass_rate"].high >= 0.95
    assert real["copies"].value < 0.5
    assert evaluator.evaluate_real(100) is real
    assert set(evaluator.evaluate_real(100, ["grey"])) == set(GROUPS["grey"])


def test_fewer_held_out_images_can_be_enough(triangles):
    few = Evaluator(triangles, heldout=30)
    assert len(few.heldout) == 30
    assert few.evaluate(unit(triangles.train[:5]), ["shape"])[0]["pass_rate"].value is not None
    assert len(Evaluator(triangles, heldout=10_000).heldout) == 150


def test_one_image_can_be_evaluated(evaluator, triangles):
    metrics, _ = evaluator.evaluate(unit(triangles.train[:1]))
    assert metrics["near_empty"].value in (0.0, 1.0)


def test_images_without_ink_are_near_empty_and_pass_nothing(evaluator):
    metrics, curves = evaluator.evaluate(np.zeros((20, 1, 16, 16), np.float32))
    assert metrics["near_empty"].value == 1.0
    assert metrics["balanced_pass_rate"].value == 0.0
    assert metrics["pass_rate"].value is None
    assert curves["pass_by_decile"] == [None] * 10
    assert curves["area_by_decile"] == [0.0] * 10


def test_held_out_images_are_fitted_once_for_all_evaluators_and_their_damaged_fits_again(
    triangles, monkeypatch
):
    samples = unit(triangles.train[:10])
    before, _ = Evaluator(triangles).evaluate(samples, ["shape"])
    recorder = Recorder()
    again, _ = Evaluator(triangles, stage=recorder).evaluate(samples, ["shape"])
    assert again == before
    assert recorder.seen == {"fitting samples": [(10, 10)]}
    kept = sorted(triangles.path.glob("fits-*.npz"))
    assert kept
    for file in kept:
        file.write_bytes(file.read_bytes()[:-9])
    recorder = Recorder()
    assert Evaluator(triangles, stage=recorder).evaluate(samples, ["shape"])[0] == before
    assert recorder.seen["fitting held-out images"][-1] == (150, 150)


def test_data_that_cannot_be_written_beside_are_fitted_each_time(triangles, tmp_path):
    elsewhere = ImageSet(
        name="small",
        train=triangles.train,
        heldout=triangles.heldout,
        recipe=SMALL,
        path=tmp_path / "gone",
        train_vertices=triangles.train_vertices,
        heldout_vertices=triangles.heldout_vertices,
    )
    samples = unit(triangles.train[:10])
    assert (
        evaluate_images(samples, elsewhere, groups=["shape"], heldout=40)[0]["near_empty"].value is not None
    )
    assert not (tmp_path / "gone").exists()


def test_images_of_other_things_have_no_shape_but_a_distribution(holiday):
    evaluator = Evaluator(holiday)
    assert evaluator.groups == (*evaluator.default_groups, *OPTIONAL_GROUPS) == tuple(GROUPS)[3:]
    metrics, curves = evaluator.evaluate(unit(holiday.train[:20]))
    real = {*GROUPS["features"], *GROUPS["appearance"], *GROUPS["distribution"][4:], "copies"}
    assert set(metrics) == {*real, "copy_z"}
    assert curves == {}
    assert set(evaluator.evaluate_real(20)) == real
    assert not list(holiday.path.glob("fits-*"))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            np.zeros((0, 1, 16, 16)),
            r"expected images like those of small, \[N, 1, 16, 16\], got \[0, 1, 16, 16\]",
        ),
        (np.zeros((2, 3, 16, 16)), r"got \[2, 3, 16, 16\]"),
        (np.zeros((2, 1, 8, 8)), r"got \[2, 1, 8, 8\]"),
        (np.zeros((16, 16)), r"got \[16, 16\]"),
        (np.full((3, 1, 16, 16), np.nan), "3 of 3 images have numbers that are not finite"),
        (np.full((3, 1, 16, 16), np.inf), "not finite"),
        (np.full((3, 1, 16, 16), 2.0), "expected numbers from 0 to 1, got 2 to 2"),
        (np.full((3, 1, 16, 16), -0.5), "expected numbers from 0 to 1, got -0.5 to -0.5"),
    ],
)
def test_what_cannot_be_evaluated_is_explained(evaluator, samples, message):
    with pytest.raises(UserError, match=message):
        evaluator.evaluate(samples)


def test_groups_are_those_of_the_metrics(evaluator):
    assert evaluator.groups == tuple(group for group in evaluate_module.ALL_GROUPS if group != "labels")
    assert tuple(GROUPS) == evaluate_module.ALL_GROUPS
    assert set(IMAGE_GROUPS) < set(GROUPS)
    assert {name for names in GROUPS.values() for name in names} == set(METRICS)


def test_where_real_images_are_all_empty_nothing_can_be_said_of_shape(tmp_path: Path):
    blank = np.zeros((20, 1, 16, 16), np.uint8)
    corners = np.zeros((20, 3, 2), np.float32)
    images = ImageSet(
        name="blank",
        train=blank,
        heldout=blank,
        recipe=SMALL,
        path=tmp_path,
        train_vertices=corners,
        heldout_vertices=corners,
    )
    with pytest.raises(UserError, match="has a shape to compare with"):
        evaluate_images(unit(blank), images)
