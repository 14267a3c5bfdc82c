"""`core compare`: tables that fit, JSON, CSV, Markdown, and what is wrong in one line."""

import csv
import doctest
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.cli.compare_text import comparison_text
from core.cli.main import run as run_command
from core.cli.output import emit_json, emit_json_object
from core.comparison import formatting
from core.comparison.compare import compare
from core.comparison.formatting import (
    bracket_text,
    interval_text,
    metric_title,
    scale_exponent,
    short_text,
    value_text,
)
from core.comparison.grouping import read_members
from core.runs import Evaluation, RunStore, add_evaluation
from core.runs.metric_definitions import GROUPS
from core.schedules import SCHEDULE_NAMES
from core.statistics.estimate import Estimate
from tests.support.fake_runs import CREATED, TRIANGLE_METRICS, make_run

NO_WINNER = ("near_empty", "copy_z", "linear_log_snr", *GROUPS["reconstruction"])


def evaluate(root: Path, *, datasets: tuple[str, ...] = ("high",), seeds: tuple[int, ...] = (0, 1)) -> None:
    """A grid of evaluated runs, each schedule worse than the one before."""
    rng = np.random.default_rng(0)
    index = 0
    for seed in seeds:
        for dataset in datasets:
            for rank, schedule in enumerate(SCHEDULE_NAMES):
                created = CREATED + timedelta(seconds=index)
                run = make_run(
                    root, schedule=schedule, dataset=dataset, seed=seed, created=created, images=False
                )
                add_evaluation(run, fake_evaluation(dataset, 0.9 - 0.1 * rank, rng))
                index += 1


def fake_evaluation(dataset: str, level: float, rng: np.random.Generator) -> Evaluation:
    metrics = {}
    for name, meaning in TRIANGLE_METRICS.items():
        value = (level if meaning.better == "higher" else 1 - level) + rng.normal(0, 0.005)
        value *= {"mmd": 1e-4, "reconstruction_psnr": 30.0}.get(name, 1.0)
        metrics[name] = Estimate(value, value * 0.97, value * 1.03)
    return Evaluation(
        created="2026-11-24T10:00:00+00:00",
        epoch=10,
        step=400,
        dataset=dataset,
        count=500,
        heldout=2000,
        sampler="ddpm",
        steps=300,
        metrics=metrics,
        real={"pass_rate": Estimate(0.95, 0.93, 0.97)},
    )


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("grid")
    evaluate(root)
    return root


@pytest.fixture
def command(grid: Path) -> Callable[..., int]:
    return lambda *arguments: run_command(["compare", "--runs", str(grid), "--all", *arguments])


def test_the_table_has_every_metric_loss_fact_winner_and_curve(command, capsys):
    assert command("--by", "dataset,schedule") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "high: 500 samples (ddpm, 300 steps) against 2000 held-out images"
    assert lines[2].split() == [*SCHEDULE_NAMES, "real", "data"]
    for name in TRIANGLE_METRICS:
        (line,) = [line for line in lines[:45] if line.startswith(f"{metric_title(name)}  ")]
        assert line.count("±") == 5 + (name == "pass_rate")
        assert ("*" in line) == (name not in NO_WINNER), line
    for head in ("loss", "held out", "abar_T", "SNR_T", "L_T triangles", "epochs", "seeds"):
        assert any(line.startswith(f"{head}  ") for line in lines)
    assert "best, and not clearly worse" in out
    assert (
        "not compared, because half of T is another noise level under each schedule: PSNR, rec. IoU, corners"
        in out
    )
    assert "Holm" in out
    assert "schedule.name  linear" in out
    assert "loss of steps 1 to 400" in out
    assert any(0x2800 < ord(letter) < 0x2900 for letter in out)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
def test_no_line_is_wider_than_the_terminal(grid, width):
    members, _ = read_members(RunStore(grid).infos())
    for by in ((), ("dataset", "schedule")):
        found = compare(members, by=by)
        lines = comparison_text(found, width=width, curves=True).splitlines()
        assert max(map(len, lines)) <= width
        heads = [line for line in lines if line.startswith("balanced pass")]
        assert sum(line.count("±") for line in heads) == len(found.rows)


def test_five_schedules_stand_side_by_side_in_80_columns(grid):
    members, _ = read_members(RunStore(grid).infos())
    text = comparison_text(compare(members, by=("schedule",)), width=80, curves=False)
    assert text.count("balanced pass %") == 1
    assert "residual 1e-2" in text
    assert not any(0x2800 <= ord(letter) < 0x2900 for letter in text)


def test_json_has_the_documented_keys(command, capsys):
    assert command("--by", "dataset,schedule", "--json") == 0
    output = capsys.readouterr()
    table = json.loads(output.out)
    assert output.err == ""
    assert list(table) == ["by", "rows", "differences", "best", "pairs", "notes"]
    assert table["by"] == ["dataset", "schedule"]
    row = table["rows"][0]
    assert list(row) == [
        *("label", "dataset", "schedule", "seeds", "runs", "judged", "epochs"),
        *("terminal_alpha_bar", "terminal_snr", "prior_bits_per_dim", "metrics"),
    ]
    assert (row["label"], row["seeds"], row["judged"], row["epochs"]) == ("linear", [0, 1], 2, [10, 10])
    assert set(row["metrics"]) == {"loss", "heldout", *TRIANGLE_METRICS}
    assert set(row["metrics"]["pass_rate"]) == {"value", "low", "high"}
    assert table["differences"] == {"schedule.name": list(SCHEDULE_NAMES)}
    assert table["best"]["high"]["pass_rate"][0] == "linear"
    pair = table["pairs"][0]
    assert list(pair) == [
        *("dataset", "metric", "better", "worse", "value", "low", "high", "p", "p_adjusted", "clear"),
    ]
    assert len(table["pairs"]) == 10 * sum(name not in NO_WINNER for name in TRIANGLE_METRICS)


def test_csv_has_a_line_a_row_and_bounds_beside_each_value(command, capsys):
    assert command("--csv", "--sort", "pass_rate") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 10
    rates = [float(row["pass_rate"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert all(float(row["mmd_low"]) < float(row["mmd"]) < float(row["mmd_high"]) for row in rows)
    assert {row["loss_low"] for row in rows} == {""}
    assert {row["seeds"] for row in rows} == {"0", "1"}


def test_markdown_is_a_table_with_brackets_and_the_best_in_bold(command, capsys):
    assert command("--markdown", "--by", "schedule") == 0
    output = capsys.readouterr()
    table = [line for line in output.out.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {8}
    assert table[0] == "|  | linear | sine | x^1.5 | x^2 | x^10 | real data |"
    (line,) = [line for line in table if line.startswith("| pass %")]
    assert line.split("|")[2].strip().startswith("**")
    assert line.endswith("| 95.0 [93.0, 97.0] |")
    assert "5% in all" in output.out


def test_without_names_the_newest_group_is_compared_and_a_group_can_be_named(tmp_path, capsys):
    for index, group in enumerate(("first", "second", "second")):
        make_run(tmp_path, seed=index, group=group, created=CREATED + timedelta(seconds=index), images=False)
    for arguments, count in (((), 2), (("first",), 1), (("--all",), 3), (("first", "latest"), 2)):
        assert run_command(["compare", "--runs", str(tmp_path), *arguments, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["rows"]) == count


def test_a_folder_of_runs_stands_for_all_in_it(tmp_path, capsys):
    evaluate(tmp_path / "elsewhere", seeds=(0,))
    evaluate(tmp_path / "runs", seeds=(0,))
    assert (
        run_command(["compare", str(tmp_path / "elsewhere"), "--runs", str(tmp_path / "runs"), "--json"]) == 0
    )
    assert len(json.loads(capsys.readouterr().out)["rows"]) == len(SCHEDULE_NAMES)
    (tmp_path / "empty").mkdir()
    assert run_command(["compare", str(tmp_path / "empty"), "--runs", str(tmp_path / "runs")]) == 2
    assert "no run in" in capsys.readouterr().err


def test_what_a_reader_must_know_goes_to_stderr(tmp_path, capsys):
    evaluate(tmp_path, seeds=(0,))
    assert run_command(["compare", "--runs", str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert output.err.startswith("note: each column is one training")
    assert "note:" not in output.out


def test_data_sets_have_a_table_each_and_share_the_axes_of_their_curves(tmp_path, capsys):
    evaluate(tmp_path, datasets=("low", "high"), seeds=(0,))
    assert run_command(["compare", "--runs", str(tmp_path), "--by", "dataset,schedule"]) == 0
    out = capsys.readouterr().out
    assert sum(line.startswith("balanced") for line in out.splitlines()) == 2
    assert out.index("low: 500") < out.index("high: 500")
    assert "high x^10" in out


def test_one_run_without_an_evaluation_or_an_epoch_is_shown_nonetheless(tmp_path, capsys):
    run = make_run(tmp_path, epoch=0, images=False)
    assert run_command(["compare", "--runs", str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[0] == "high"
    assert "abar_T" in output.out
    assert f"not evaluated yet: {run.id}" in output.err


def test_a_loss_that_is_nan_throughout_leaves_an_empty_panel(tmp_path, capsys):
    make_run(tmp_path, nan_from=1, images=False)
    make_run(tmp_path, seed=1, created=CREATED + timedelta(seconds=1), images=False)
    assert run_command(["compare", "--runs", str(tmp_path)]) == 0
    panel = capsys.readouterr().out.splitlines()[-5:]
    assert panel[0].startswith("linear s0            –")
    assert all(line[:22].strip() == "" for line in panel[1:])
    assert any(line[24:].strip() for line in panel[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sort", "weather"], "--sort weather: expected one of loss"),
        (["--by", "weather"], "--by weather: expected one of dataset"),
        (["--by", "dataset,,seed"], "expected names separated by commas"),
        (["--by", ""], "expected names separated by commas"),
        (["--json", "--csv"], "give one of --json, --csv and --markdown"),
        (["nobody"], "no run in"),
    ],
)
def test_what_cannot_be_compared_is_one_line(grid, capsys, arguments, message):
    assert run_command(["compare", "--runs", str(grid), *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err
    assert len(output.err.splitlines()) == 1


def test_an_empty_folder_is_one_line(tmp_path, capsys):
    assert run_command(["compare", "--runs", str(tmp_path)]) == 2
    assert "there are no runs here" in capsys.readouterr().err


def test_names_of_settings_cannot_break_a_markdown_table_or_a_terminal(tmp_path, capsys):
    run = make_run(tmp_path, images=False)
    file = run.read()
    data = msgspec.structs.replace(file.config.data, dataset="a|b\x1b[31m")
    run.write_run_file(msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, data=data)))
    assert run_command(["compare", "--runs", str(tmp_path), "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("### a\\|b\n")
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("name", "estimate", "texts"),
    [
        (
            "pass_rate",
            Estimate(0.94216, 0.92, 0.961),
            ("94.2", "92.0 to 96.1", "94.2 [92.0, 96.1]", "94.2 ±2.0"),
        ),
        ("pass_rate", Estimate(0.0, 0.0, 0.2), ("0", "0 to 20", "0 [0, 20]", "0 ±10")),
        (
            "mmd",
            Estimate(1.24e-5, -2e-6, 3e-5),
            ("1.2e-5", "-2e-6 to 3.0e-5", "1.2e-5 [-2e-6, 3.0e-5]", "1.2e-5 ±1.6e-5"),
        ),
        ("mmd", Estimate(0.0, 0.0, 0.0), ("0", "0 to 0", "0 [0, 0]", "0 ±0")),
        (
            "haze",
            Estimate(-0.004, -0.01, 0.01),
            ("-0.004", "-0.010 to 0.010", "-0.004 [-0.010, 0.010]", "-0.004 ±0.010"),
        ),
        ("bits_per_dim", Estimate(0.5, 0.4, None), ("0.500", "0.400 to –", "0.500 [0.400, –]", "0.500")),
        ("loss", Estimate(12345.6), ("12346", "–", "12346", "12346")),
        ("loss", Estimate(None), ("–", "–", "–", "–")),
        ("loss", None, ("–", "–", "–", "–")),
    ],
)
def test_numbers_have_as_many_digits_as_their_interval_is_worth(name, estimate, texts):
    kinds = (value_text, interval_text, bracket_text, short_text)
    assert tuple(text(name, estimate) for text in kinds) == texts


def test_the_examples_of_numbers_as_text_are_true():
    assert doctest.testmod(formatting) == (0, 2)


@pytest.mark.parametrize(
    ("values", "exponent"),
    [([0.5, 0.1], -2), ([0.099], -3), ([1e-6, None], -7), ([1.0], 0), ([0.0], 0), ([], 0)],
)
def test_small_numbers_get_a_unit_that_makes_them_short(values, exponent):
    assert scale_exponent("haze", [Estimate(value) for value in values]) == exponent
    if exponent:
        assert (
            short_text("haze", Estimate(values[0]), exponent=exponent).replace(".", "").strip("0").isdigit()
        )


def test_every_group_of_metrics_is_a_block_of_its_own(grid):
    members, _ = read_members(RunStore(grid).infos()[:1])
    blocks = comparison_text(compare(members), width=0, curves=False).split("\n\n")
    heads = [[line.split("  ")[0] for line in block.splitlines()] for block in blocks]
    groups = [[name for name in names if name in TRIANGLE_METRICS] for names in GROUPS.values()]
    measured = [names for names in groups if names]
    assert heads[2 : 2 + len(measured)] == [[metric_title(name) for name in names] for names in measured]


def test_an_object_written_element_by_element_is_the_json_of_the_whole(capsys):
    for pairs in ([], [{"a": 1, "b": [1, {"c": "x\ny"}]}, {}, 3, "z"]):
        whole = {"rows": [1, {"k": float("nan")}], "empty": {}, "pairs": pairs, "notes": ["n\nm"]}
        emit_json(whole)
        emit_json_object({**whole, "pairs": iter(pairs)})
        one, other = capsys.readouterr().out.split("\n}\n{")
        assert one + "\n}\n" == "{" + other
