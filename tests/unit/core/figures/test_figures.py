"""The thesis's figures: what they show, what they need, and that every run, however odd, can be drawn."""

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.config.trained_with import TrainedWith
from core.data import load_dataset
from core.errors import UserError
from core.figures import (
    DrawnFigure,
    MissingFigure,
    draw_all,
    images,
    load_figure_data,
    losses,
    quality,
    reverse,
    schedules,
    style,
)
from core.imaging import write_sheet
from core.runs import EpochRecord, MetricsWriter, State
from core.schedules import make_schedule
from tests.support.evaluated_runs import (
    draw_figures,
    figure_bytes,
    make_configured_run,
    make_run_grid,
    missing_reasons,
    read_figure_data,
)
from tests.support.fake_images import fake_images
from tests.support.fake_runs import make_run, tear


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three data sets, two schedules, two seeds, all evaluated; and all 190 epochs of one run."""
    root = tmp_path_factory.mktemp("grid")
    make_run_grid(root, datasets=("array", "high", "low"), seeds=(1, 0), evaluated=True)
    make_run(root, epochs=190, steps_per_epoch=2, dataset="high", run_id="long", count=1, images=False)
    return root


@pytest.fixture(scope="module")
def figures(grid: Path) -> dict[str, DrawnFigure | MissingFigure]:
    """Draw all figures, on a machine without data sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DDPM_DATA", str(grid / "no-data"))
        return draw_figures(grid)


@pytest.mark.parametrize("timesteps", [1, 10])
def test_noising_in_numpy_is_the_forward_process_of_the_training(timesteps):
    import torch

    from core.diffusion.gaussian import GaussianDiffusion

    schedule = make_schedule("x^2", timesteps=timesteps)
    rng = np.random.default_rng(0)
    x0, eps = rng.uniform(-1, 1, (1, 1, 4, 4)), rng.standard_normal((1, 1, 4, 4))
    diffusion = GaussianDiffusion(schedule)
    for t in range(1, timesteps + 1):
        expected = diffusion.q_sample(torch.from_numpy(x0), torch.tensor([t - 1]), torch.from_numpy(eps))
        np.testing.assert_allclose(schedules.q_sample(x0, schedule, t, eps), expected.numpy(), rtol=1e-12)
    np.testing.assert_array_equal(schedules.q_sample(x0, schedule, 0, eps), x0)


@pytest.mark.parametrize(
    ("timesteps", "steps", "shown"), [(1000, 50, 10), (300, None, 10), (10, 3, 10), (7, 7, 3), (1, 1, 10)]
)
def test_the_timesteps_over_a_strip_are_those_that_its_sampler_visited(timesteps, steps, shown):
    from core.spacing import inference_timesteps

    config = RunConfig(schedule=ScheduleConfig(timesteps=timesteps), sample=SampleConfig(steps=steps))
    # States after 0, 1, 2... calls have the noise of timestep t, counted from 0, and at last of none.
    visited = [t + 1 for t in inference_timesteps(timesteps, steps)] + [0]
    indices = np.linspace(0, len(visited) - 1, min(shown, len(visited))).round().astype(int)
    times = reverse.shown_timesteps(config, shown)
    assert times == [visited[index] for index in indices]
    assert (times[0], times[-1]) == (timesteps, 0)


def test_runs_that_differ_in_their_seed_only_are_one_series_in_the_order_of_the_thesis(grid):
    data = read_figure_data(grid)
    assert data.datasets == ("low", "high", "array")
    assert data.labels == ("linear", "linear, epochs 190", "x^10") or data.labels[0] == "linear, epochs 3"
    for series in data.series:
        seeds = [member.config.train.seed for member in series.members]
        assert seeds == sorted(seeds)
        assert len({(member.config.data.dataset, member.config.schedule) for member in series.members}) == 1


def test_what_tells_runs_of_one_schedule_apart_is_in_their_labels(tmp_path):
    make_configured_run(tmp_path, "a", schedule=ScheduleConfig(name="x^10"))
    make_configured_run(tmp_path, "b", schedule=ScheduleConfig(name="x^10", zero_terminal_snr=True))
    make_configured_run(tmp_path, "c", schedule=ScheduleConfig(name="x^10", beta_end=0.1055))
    make_configured_run(
        tmp_path, "d", schedule=ScheduleConfig(name="linear"), train=TrainConfig(seed=3, optimizer="muon")
    )
    data = read_figure_data(tmp_path)
    assert data.labels == ("linear", "x^10", "x^10, zero SNR", "x^10, beta end 0.1055")
    assert len({(look.dashes, look.hollow) for label, look in data.styles.items() if "10" in label}) == 3
    named = schedules.schedules_with_thesis(data)
    assert [label for label, _, _ in named] == [
        *("linear", "sine", "x^1.5", "x^2", "x^10", "x^10, zero SNR", "x^10, beta end 0.1055")
    ]
    assert {label: schedule.terminal_alpha_bar for label, _, schedule in named}["x^10, zero SNR"] == 0.0


def test_data_sets_with_the_same_name_get_figures_of_their_own(tmp_path):
    for index, dataset in enumerate(("/one/pets", "/two/pets")):
        make_configured_run(tmp_path, f"run{index}", data=DataConfig(dataset=dataset))
    names = [key for key in draw_figures(tmp_path) if key.startswith(("samples-", "reverse-"))]
    assert len(names) == len(set(names)) == 4


def test_there_is_nothing_to_draw_without_runs_or_with_too_many_kinds(tmp_path):
    with pytest.raises(UserError, match="no runs to draw"):
        load_figure_data([])
    for number in range(25):
        make_configured_run(tmp_path, f"run{number}", schedule=ScheduleConfig(name=f"x^{number + 1}"))
    with pytest.raises(UserError, match="of 25 kinds, and a figure tells at most 24 apart; name fewer runs"):
        read_figure_data(tmp_path)


def test_losses_of_several_seeds_are_taken_together_epoch_by_epoch(tmp_path):
    runs = make_run_grid(tmp_path, names=("linear",), seeds=(0, 1), epochs=4)
    (series,) = read_figure_data(tmp_path).series
    table = losses.pooled_losses(series.members)
    epochs = [series.members[index].epochs for index in range(2)]
    assert table[0].tolist() == [1, 2, 3, 4]
    for column, (one, other) in enumerate(zip(*epochs, strict=True)):
        assert table[1, column] == pytest.approx((one.mean + other.mean) / 2)
        assert table[2, column] == min(one.min, other.min)
        assert table[3, column] == max(one.max, other.max)
        assert table[4, column] == pytest.approx((one.heldout + other.heldout) / 2)
    assert losses.pooled_losses([]).shape == (5, 0)
    assert len(runs) == 2


def test_runs_of_all_data_evaluated_and_trained_long_give_every_figure(figures):
    missing = missing_reasons(figures)
    # No run was explained or crossed, and the held-out images that the epochs are evaluated by are not on this machine.
    # Triangles have no metrics of labels or of general images by default.
    assert [key for key in missing if "predicted-noise" not in key] == [
        *("labels", "features", "appearance", "restoration", "causes", "cross", "epochs"),
        *(key for key in missing if key.startswith("nearest")),
    ]
    assert missing["predicted-noise-low"].startswith("the held-out images of low are not on this machine")
    assert "held-out images of low, high, array are not on this machine" in missing["epochs"]
    assert list(figures)[:11] == [
        *("5.1-schedules", "5.2-noising", "5.3-reverse-noisy", "6.1-reverse-low", "6.2-samples-low"),
        *(
            "6.3-reverse-high",
            "6.4-samples-high",
            "6.5-reverse-array",
            "6.6-samples-array",
            "6.7-losses",
            "6.8-long",
        ),
    ]


def test_figures_that_the_runs_cannot_give_are_left_out_for_a_reason(tmp_path):
    make_run_grid(tmp_path, state=State.QUEUED, images=False)
    found = draw_figures(tmp_path)
    missing = missing_reasons(found)
    assert set(found) - set(missing) == {"5.1-schedules", "5.2-noising"}
    assert (
        missing["6.1-reverse-low"] == missing["5.3-reverse-noisy"] == "none of these runs was trained on low"
    )
    assert missing["6.3-reverse-high"] == "no run on these data has a strip of its reverse process yet"
    assert missing["6.4-samples-high"] == "no run on these data has drawn samples yet"
    assert missing["6.7-losses"] == "no run has completed an epoch yet"
    assert missing["6.8-long"] == "no run with the linear schedule has completed an epoch yet"
    assert missing["quality"] == missing["timesteps"] == "no run has been evaluated; run core evaluate"


def test_the_long_figure_is_of_190_epochs_or_says_that_it_is_not(figures, tmp_path):
    assert figures["6.8-long"].title == "The linear schedule trained for 190 epochs"
    assert "One seed each" in figures["6.8-long"].caption
    make_run_grid(tmp_path, epochs=1)
    assert (
        draw_figures(tmp_path)["6.8-long"].title == "The linear schedule trained for 1 epoch (no run has 190)"
    )


def test_a_damaged_sheet_costs_its_own_figure_only(tmp_path):
    runs = make_run_grid(tmp_path)
    tear(runs[0].sample_sheets()[-1][1], 100)
    missing = missing_reasons(draw_figures(tmp_path))
    assert "epoch-0003.png" in missing["6.4-samples-high"]
    assert "6.3-reverse-high" not in missing


def test_a_damaged_evaluation_is_reported_and_the_rest_is_drawn(tmp_path):
    runs = make_run_grid(tmp_path, evaluated=True, images=False, epochs=1)
    (runs[0].path / "evaluation.json").write_text("{")
    data = read_figure_data(tmp_path)
    assert len(data.problems) == 1
    assert "evaluation.json" in data.problems[0]
    with style.house_style():
        figure, _ = quality.draw_family(data, quality.metric_families()[0])
    assert len(figure.axes) == 3


def test_odd_runs_can_be_drawn(tmp_path):
    tiny = RunConfig(schedule=ScheduleConfig(timesteps=1), sample=SampleConfig(count=1, reverse_count=1))
    make_run(tmp_path, config=tiny, run_id="one-step", epochs=1, count=1, size=8)
    make_run(tmp_path, schedule="sine", run_id="nan", nan_from=1, epochs=2, steps_per_epoch=2)
    make_run(tmp_path, schedule="x^2", run_id="later-nan", nan_from=50, epochs=3, size=200)
    make_run(tmp_path, schedule="x^10", run_id="colour", colour=True, epochs=1)
    hostile = RunConfig(
        schedule=ScheduleConfig(name="$x_{\n"), data=DataConfig(dataset="../../$\\frac{\x1b[2J")
    )
    make_run(tmp_path, config=hostile, run_id="hostile", epochs=1)
    found = draw_figures(tmp_path)
    assert set(missing_reasons(found).values()) == {
        "none of these runs was trained on low",
        "none of these runs was trained on array",
        "no run has been evaluated; run core evaluate",
        "no run has been explained; run core explain",
        *(missing_reasons(found)[key] for key in ("cross", "epochs")),
        "no run on these data has such a sheet; core evaluate makes it of images other than triangles",
        *(reason for key, reason in missing_reasons(found).items() if "predicted-noise" in key),
    }
    for key, one in found.items():
        assert re.fullmatch(r"[A-Za-z0-9.-]+", key)
        if isinstance(one, DrawnFigure):
            assert figure_bytes(one.figure, "svg")


@pytest.mark.parametrize("loss", [None, 1e300, 1e-300, -1.0])
def test_losses_that_no_axis_can_show_leave_it_empty_or_wide(tmp_path, loss):
    run = make_run(tmp_path, epochs=2, nan_from=1, images=False)
    if loss is not None:
        numbers = {"mean": loss, "min": loss, "max": 1.0, "heldout": loss}
        record = EpochRecord(
            epoch=3, step=120, elapsed=1.0, images_per_second=1.0, learning_rate=1.0, **numbers
        )
        with MetricsWriter(run.metrics_file) as writer:
            writer.append_epoch(record)
    data = read_figure_data(tmp_path)
    with style.house_style():
        assert figure_bytes(losses.draw_losses(data)[0], "png")
        assert figure_bytes(losses.draw_long(data)[0], "png")


def test_the_users_image_is_noised_in_its_colours(tmp_path):
    Image.new("RGB", (200, 100), (250, 20, 20)).save(tmp_path / "red.png")
    pixels = images.load_user_image(tmp_path / "red.png")
    assert pixels.shape == (3, 128, 128)
    Image.new("L", (50, 70), 9).save(tmp_path / "grey.png")
    assert images.load_user_image(tmp_path / "grey.png").shape == (1, 128, 128)
    make_run_grid(tmp_path / "runs")
    found = draw_figures(tmp_path / "runs", image=tmp_path / "red.png")
    assert found["5.2-noising"].caption == "x_t of your image, with the same noise in all rows."


def test_a_file_that_is_not_an_image_is_refused_before_anything_is_drawn(tmp_path):
    make_run_grid(tmp_path / "runs")
    data = read_figure_data(tmp_path / "runs")
    (tmp_path / "text.png").write_text("no picture")
    for name, message in (("text.png", "cannot be used"), ("none.png", "no such file")):
        with pytest.raises(UserError, match=message):
            next(draw_all(data, tmp_path / name))


def test_a_held_out_image_of_the_data_is_noised_where_it_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    made = load_dataset("array", count=3, heldout=3)
    make_run_grid(tmp_path / "runs", datasets=("array",))
    pixels, words = images.default_image(read_figure_data(tmp_path / "runs"))
    assert words == "a held-out image of array"
    assert any((pixels == image).all() for image in made.heldout)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "elsewhere"))
    pixels, words = images.default_image(read_figure_data(tmp_path / "runs"))
    assert (words, pixels.shape) == ("a drawn triangle", (1, 32, 32))
    assert not (tmp_path / "elsewhere").exists()


def test_a_held_out_image_is_of_the_set_that_the_runs_were_trained_on(tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    recipe = tmp_path / "mine.toml"
    recipe.write_text("size = 16\ncount = 3\nheldout = 3\n")
    made = load_dataset(str(recipe))
    run = make_run(tmp_path / "runs", config=RunConfig(data=DataConfig(dataset=str(recipe))), epochs=2)
    inputs = TrainedWith(fingerprint=made.fingerprint, train=3, heldout=3, channels=1, size=16)
    run.write_status(msgspec.structs.replace(run.read_status(), trained_with=inputs))
    recipe.unlink()
    pixels, words = images.default_image(read_figure_data(tmp_path / "runs"))
    assert words == "a held-out image of mine"
    assert any((pixels == image).all() for image in made.heldout)


def test_a_strip_without_rows_of_equal_length_is_shown_as_far_as_it_goes(tmp_path):
    (run,) = make_run_grid(tmp_path, names=("linear",), datasets=("low",))
    write_sheet(run.reverse_strips()[-1][1], fake_images(7), columns=5)
    assert not missing_reasons(draw_figures(tmp_path)).keys() & {"5.3-reverse-noisy", "6.1-reverse-low"}


@pytest.mark.slow
def test_names_with_tex_s_signs_are_drawn_as_they_are(tmp_path: Path) -> None:
    dataset = "$100_{bills$"
    make_run_grid(tmp_path, datasets=(dataset, "a^b$c\\d$"), seeds=(1, 0), evaluated=True, images=True)
    make_run(tmp_path, epochs=190, steps_per_epoch=2, dataset=dataset, run_id="long", count=1, images=False)
    found = draw_figures(tmp_path)
    drawn = {key: one for key, one in found.items() if isinstance(one, DrawnFigure)}
    assert {"6.7-losses", "6.8-long", "timesteps"} <= drawn.keys()
    for one in drawn.values():
        assert figure_bytes(one.figure, "svg")
    titles = {axes.get_title() for one in drawn.values() for axes in one.figure.axes}
    assert style.typeset(dataset) in titles
