"""Figures of what was measured: metrics with intervals, curves, and the evaluated sheets of each epoch."""

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image

from core.comparison.formatting import sampler_text
from core.data import load_dataset
from core.errors import UserError
from core.figures import layout, progress, quality, style
from core.figures.figure_data import CannotDrawError, load_figure_data
from core.figures.samples import draw_samples
from core.imaging import write_sheet
from core.imaging.sheet_classes import cycled_classes
from core.runs import METRICS, RunStore, add_evaluation
from core.statistics.estimate import Estimate
from tests.support.evaluated_runs import (
    draw_figures,
    evaluation,
    make_run_grid,
    missing_reasons,
    read_figure_data,
)
from tests.support.fake_runs import make_run


def test_captions_say_how_many_samples_were_evaluated_and_how_they_were_drawn(tmp_path):
    make_run_grid(tmp_path, seeds=(0, 1), evaluated=True, images=False, epochs=1)
    series = read_figure_data(tmp_path).series
    assert quality.protocol_text(series) == "1,000 samples each, ddim with eta 1 in 50 steps, 2 seeds each"
    assert sampler_text(evaluation(sampler="", steps=0)) == "from a file"
    assert sampler_text(evaluation(sampler="dpm++", steps=10)) == "dpm++ with eta 1 in 10 steps"
    assert sampler_text(evaluation(sampler="ddpm", steps=10)) == "ddpm in 10 steps"
    odd = evaluation(sampler="unipc", steps=9, spacing="karras", clip="none")
    assert sampler_text(odd) == "unipc in 9 steps spaced by karras without clipping"


def test_every_metric_is_on_one_page():
    shown = [name for family in quality.metric_families() for name in family.metrics]
    assert sorted(shown) == sorted(METRICS)


def test_estimates_without_bounds_or_values_are_drawn_as_far_as_they_are_known(tmp_path):
    (run,) = make_run_grid(tmp_path, names=("linear",))
    metrics = {"pass_rate": Estimate(0.5), "near_empty": Estimate(None), "haze": Estimate(0.1, None, 1e300)}
    metrics |= {"soft_iou": Estimate(-1e300), "mmd": Estimate(1e300)}
    add_evaluation(
        run, evaluation(metrics=metrics, curves={"loss_by_timestep": [1.0], "loss_by_timestep.x": []})
    )
    missing = missing_reasons(draw_figures(tmp_path))
    assert "shape" not in missing
    assert "grey" not in missing
    assert missing["distribution"] == (
        "not measured of these images: area KS, angle KS, centroid, orientation, density, coverage, MMD, sliced W"
    )
    assert missing["quality"] == (
        "no run has been evaluated by balanced pass, area TV, grey pass, KID, Fréchet; "
        "run core evaluate --only features"
    )
    assert missing["timesteps"] == (
        "no run has been evaluated by loss by timestep, bound by timestep; run core evaluate --only likelihood"
    )


def test_the_epochs_are_evaluated_by_the_shapes_on_their_sheets(tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    made = load_dataset("array", count=1, heldout=120)
    runs = make_run_grid(tmp_path / "runs", names=("linear",), datasets=("array",), seeds=(0, 1), epochs=2)
    real = made.heldout[:, 0]
    noise = np.random.default_rng(0).integers(0, 256, real[:10].shape, dtype=np.uint8)
    for index, run in enumerate(runs):
        write_sheet(run.samples / "epoch-0001.png", noise, columns=8)
        write_sheet(run.samples / "epoch-0002.png", real[index::2][:25], columns=8)
    data = read_figure_data(tmp_path / "runs")
    with style.house_style():
        figure, caption = progress.draw_progress(data)
    ((_, of_noise), (_, of_real)) = figure.axes[0].lines[0].get_xydata()
    assert of_noise == 0.0
    assert of_real > 0.8
    assert caption.endswith("2 seeds each, pooled.")


def with_rates(member, rates):
    """The run with balanced pass rates of its first epochs, by which they are compared."""
    epochs = [
        structs.replace(record, quality={"balanced_pass_rate": Estimate(rate, rate - 0.03, rate + 0.04)})
        for record, rate in zip(member.epochs, rates, strict=False)
    ]
    train = structs.replace(member.config.train, monitor="balanced_pass_rate")
    file = structs.replace(member.info.file, config=structs.replace(member.config, train=train))
    epochs += member.epochs[len(epochs) :]
    return replace(member, info=replace(member.info, file=file), epochs=tuple(epochs))


def test_samples_evaluated_while_training_are_drawn_instead_with_the_best_epoch_in_words(tmp_path):
    make_run_grid(tmp_path, names=("linear",), seeds=(0, 1), images=False, epochs=6)
    data = read_figure_data(tmp_path)
    rates = [(0.3, 0.6, 0.3, 0.3, 0.3, 0.3), (0.3, 0.6, 0.3)]
    members = [with_rates(*pair) for pair in zip(data.series[0].members, rates, strict=True)]
    series = replace(data.series[0], members=tuple(members))
    data = replace(data, series=(series,))
    with style.house_style():
        figure, caption = progress.draw_progress(data)
    (panel,) = figure.axes[:1]
    np.testing.assert_allclose(panel.lines[0].get_xydata()[:3, 1], [0.3, 0.6, 0.3])
    assert [text.get_text().replace("\n", " ") for text in panel.texts][:1] == [
        "no better since epoch 2, worse beyond noise"
    ]
    assert caption.startswith("Samples evaluated while training (balanced pass rate); 95% intervals")
    ((_, one), *_) = progress.recorded_rates(series)
    assert one.high == pytest.approx(0.3 + 0.04 / 2**0.5)


def test_a_subset_of_many_epochs_includes_the_last(tmp_path):
    make_run_grid(tmp_path, names=("linear",), epochs=15)
    (series,) = read_figure_data(tmp_path).series
    sheets = progress.samples_by_epoch(series.members, 4, 32)
    assert [epoch for epoch, _ in sheets] == [1, 6, 10, 15]
    assert sheets[0][1].shape == (4, 1, 32, 32)
    assert progress.epoch_limit([series]) == progress.MAX_EPOCHS
    with pytest.raises(UserError, match="expected grey images of 28 x 28 pixels"):
        progress.samples_by_epoch(series.members, 4, 28)


def test_curves_of_one_seed_have_their_interval_and_of_several_the_range_of_the_seeds(tmp_path):
    name = quality.TIMESTEPS.curves[0][0]
    runs = make_run_grid(tmp_path, names=("linear",), images=False, epochs=1)
    runs += make_run_grid(tmp_path, names=("sine",), seeds=(0, 1), images=False, epochs=1)
    for index, run in enumerate(runs):
        curves = {name: [0.3 + index, 0.5], f"{name}.x": [1.0, 9.0]}
        curves |= {f"{name}.low": [0.2, 0.4], f"{name}.high": [0.7, 0.8]}
        add_evaluation(run, evaluation(curves=curves))
    with style.house_style():
        figure, _ = quality.draw_curves(read_figure_data(tmp_path), quality.TIMESTEPS)
    bands = [band.get_paths()[0].vertices[:, 1] for band in figure.axes[0].collections]
    assert [(band.min(), band.max()) for band in bands] == [(0.2, 0.8), (0.5, 2.3)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02, "0.02"),
        (1.0, "1"),
        (2000.0, "2000"),
        (1e-7, "$10^{-7}$"),
        (5e-4, r"$5\cdot 10^{-4}$"),
        (1e5, "$10^{5}$"),
    ],
)
def test_numbers_at_logarithmic_axes_are_short(value, text):
    assert layout.log_tick_label(value) == text


def test_images_without_triangles_are_not_said_to_be_missing_triangles(tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    images = tmp_path / "cats"
    images.mkdir()
    for number in range(12):
        Image.fromarray(np.full((8, 8), 20 * number, dtype=np.uint8)).save(images / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    load_dataset("cats")
    make_run_grid(tmp_path / "runs", names=("linear",), datasets=("cats",), epochs=1)
    with pytest.raises(CannotDrawError, match=r"^the images of cats are not grey triangles$"):
        progress.draw_progress(read_figure_data(tmp_path / "runs"))


def test_columns_of_samples_are_headed_by_their_classes(tmp_path):
    noise = np.zeros((6, 8, 8), np.uint8)
    rows = []
    for index, names in enumerate(([], ["acute", "$right", "an obtuse triangle"])):
        run = make_run(tmp_path / str(index), epoch=1, images=False)
        run.samples.mkdir(exist_ok=True)
        write_sheet(run.samples / "epoch-0001.png", noise, columns=3, meta=cycled_classes(6, names))
        rows.append(load_figure_data(RunStore(tmp_path / str(index)).infos()).series[0])

    def heads(series):
        axes = draw_samples(series)[0].axes[0]
        return [text.get_text() for text in axes.texts if text.get_verticalalignment() == "bottom"]

    assert heads(rows[:1]) == ["start 1", "2", "3", "4", "5"]
    assert heads(rows[1:]) == ["acute", r"\$right", "an obtuse t…", "acute", r"\$right"]
    assert heads(rows) == []
    assert "class" in draw_samples(rows[1:])[1]


def test_what_is_missing_of_a_metric_is_named_with_the_command_that_measures_it(tmp_path):
    measured = {"low": ("pass_rate", "bits_per_dim"), "high": ("pass_rate",), "array": (), "faces": ("kid",)}
    for index, (dataset, names) in enumerate(measured.items()):
        run = make_run(tmp_path, dataset=dataset, index=index, images=False)
        if names:
            metrics = dict.fromkeys(names, Estimate(0.5))
            add_evaluation(run, evaluation(metrics=metrics, real={}, curves={}))
    data = read_figure_data(tmp_path)
    families = {family.key: family for family in quality.metric_families()}

    def texts(key):
        axes = quality.draw_family(data, families[key])[0].axes[: len(data.datasets)]
        return [[text.get_text() for text in axis.texts if text.get_text() != "real"] for axis in axes]

    command, none = "no bits/dim:\ncore evaluate\n--only likelihood", "not evaluated:\ncore evaluate"
    assert data.datasets == ("low", "high", "array", "faces")
    assert texts("likelihood") == [[], [command], [none], [command]]
    assert texts("shape") == [[], [], [none], ["no pass\nof these images"]]
    with pytest.raises(CannotDrawError, match=r"by PSNR, .*; run core evaluate --only reconstruction$"):
        quality.draw_family(data, families["reconstruction"])
    with pytest.raises(CannotDrawError, match=r"by reconstruction psnr, .* --only reconstruction$"):
        quality.draw_curves(data, quality.RECONSTRUCTION)
    with pytest.raises(CannotDrawError, match=r"^not measured of these images: label$"):
        quality.draw_family(data, families["labels"])
