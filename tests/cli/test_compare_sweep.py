"""`core compare --sweep`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.cli.compare import command
from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.errors import UserError
from tests.support.fake_runs import make_run, write_evaluation

RATE = "train.learning_rate"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for index in range(6):
        rate, seed = 10.0 ** (index // 2 - 4), index % 2
        config = RunConfig(
            schedule=ScheduleConfig(), train=TrainConfig(epochs=1, learning_rate=rate, seed=seed)
        )
        run = make_run(root, config=config, index=index, run_id=f"r{index}", images=False)
        write_evaluation(run, 0.5 + 0.1 * (index // 2) + 0.01 * seed)
    return root


def _run(root: Path, *options: str) -> str:
    done = CliRunner().invoke(
        command, ["--all", "--runs", str(root), *options], catch_exceptions=False, standalone_mode=False
    )
    return done.stdout


def test_a_sweep_is_a_table_and_a_chart_with_the_ends_of_both_axes(root: Path) -> None:
    text = _run(root, "--sweep", "auto", "--metric", "pass_rate")
    lines = text.splitlines()
    assert lines[0] == f"pass % (higher is better) against {RATE}"
    assert [line.split()[0] for line in lines[2:6]] == [RATE, "0.0001", "0.001", "0.01"]
    assert [line.split()[-1] for line in lines[3:6]] == ["2", "2", "2"]
    assert lines[-1].split() == ["0.0001", "logarithmic", "0.01"]
    assert any("⠀" < char <= "⣿" for char in text)


def test_json_csv_and_markdown_have_the_same_points(root: Path) -> None:
    found = json.loads(_run(root, "--sweep", RATE, "--metric", "pass_rate", "--json"))
    assert (found["sweep"], found["metric"], found["numeric"], found["log"]) == (
        RATE,
        "pass_rate",
        True,
        True,
    )
    points = found["lines"][0]["points"]
    assert [(point["value"], point["runs"], point["seeds"]) for point in points] == [
        (value, 2, [0, 1]) for value in (0.0001, 0.001, 0.01)
    ]
    assert [point["estimate"]["value"] for point in points] == pytest.approx([0.505, 0.605, 0.705])
    rows = [
        line.split(",") for line in _run(root, "--sweep", RATE, "--metric", "pass_rate", "--csv").splitlines()
    ]
    assert rows[0][2:] == [RATE, "runs", "pass_rate", "pass_rate_low", "pass_rate_high"]
    assert [float(row[4]) for row in rows[1:]] == pytest.approx([0.505, 0.605, 0.705])
    markdown = _run(root, "--sweep", RATE, "--metric", "pass_rate", "--markdown")
    assert "| 0.001 | 60.5 [" in markdown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "pass_rate"], "--metric needs --sweep KEY"),
        (["--sweep", RATE, "--by", "seed"], "give it without --by and --sort"),
        (["--sweep", "train.epochs"], "is the same in all these runs"),
    ],
)
def test_options_that_do_not_go_together_are_named(root: Path, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _run(root, *options)
