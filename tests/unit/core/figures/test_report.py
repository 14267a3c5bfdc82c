"""The report: its tables, and that its page holds together whatever runs say of themselves."""

import base64
import re
from html.parser import HTMLParser
from itertools import islice
from xml.etree import ElementTree

import msgspec
import pytest

from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.figures import MissingFigure, draw_all, load_figure_data, report, tables, write_report
from core.figures.causes import cause_table, draw_causes, explain_runs
from core.runs import METRICS, RunStore, State, add_evaluation
from core.runs.interventions import write_interventions
from core.schedules import make_schedule
from core.statistics.estimate import Estimate
from tests.support.evaluated_runs import evaluation, make_configured_run, make_run_grid, read_figure_data
from tests.support.fake_runs import TRIANGLE_METRICS, make_run
from tests.unit.core.comparison.test_explain import subject

HOSTILE = "<script>alert('x')</script>\"&\x1b[31m"
FEW = 7
"""Figures on a page; all of them take seconds."""
EMPTY = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements that do not close in order, text, and all that an element could load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.wrong += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def texts(table: tables.Table) -> list[tuple[str, ...]]:
    return [tuple(" ".join(cell.lines) for cell in row) for row in table.rows]


def rename(run, **changes):
    with run.lock():
        run.write_run_file(msgspec.structs.replace(run.read(), **changes))


def test_a_page_holds_together_and_needs_no_other_file(tmp_path):
    make_run_grid(tmp_path, seeds=(0, 1), evaluated=True)
    data = read_figure_data(tmp_path)
    path = write_report(tmp_path / "a" / "report", data, islice(draw_all(data), FEW))
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.wrong == []
    assert page.tags.count("figure") == len(re.findall("<img", text)) == 4
    assert "script" not in page.tags
    sources = [value for tag, name, value in page.attributes if tag == "img" and name == "src"]
    for source in sources:
        kind, _, encoded = source.partition(",")
        assert kind == "data:image/svg+xml;base64"
        ElementTree.fromstring(base64.b64decode(encoded))
    links = [value for _, name, value in page.attributes if name == "href"]
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {link.removeprefix("#") for link in links} == ids
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in [
        value for tag, name, value in page.attributes if (tag, name) == ("meta", "content")
    ]
    assert not re.search(r"https?://", re.sub(r'"data:[^"]*"', "", text))
    assert [one.name for one in path.parent.iterdir()] == ["index.html"]


def test_the_same_runs_give_the_same_page(tmp_path):
    make_run_grid(tmp_path, names=("linear",), epochs=1)
    pages = [
        report.report_html(data, islice(draw_all(data), FEW))
        for data in (read_figure_data(tmp_path), read_figure_data(tmp_path))
    ]
    assert pages[0] == pages[1]


def test_whatever_runs_say_of_themselves_is_text_and_nothing_else(tmp_path):
    (run,) = make_run_grid(tmp_path, names=("linear",), images=False)
    config = msgspec.structs.replace(
        run.read().config,
        recipe=HOSTILE,
        schedule=ScheduleConfig(name=HOSTILE),
        data=msgspec.structs.replace(run.read().config.data, dataset=HOSTILE),
    )
    rename(
        run, group=HOSTILE, provenance={HOSTILE: HOSTILE, "host": "</td></table><img src=x>"}, config=config
    )
    add_evaluation(run, evaluation(sampler=HOSTILE))
    data = read_figure_data(tmp_path)
    page = Page(report.report_html(data, islice(draw_all(data), FEW)))
    assert page.wrong == []
    assert "script" not in page.tags
    assert all(
        value.startswith("data:") for tag, name, value in page.attributes if (tag, name) == ("img", "src")
    )
    assert any("<script>alert('x')</script>\"&" in text for text in page.texts)
    assert not any("\x1b" in text for text in page.texts)


def test_figures_that_are_missing_are_listed_with_their_reasons(tmp_path):
    make_run_grid(tmp_path, images=False, state=State.QUEUED)
    data = read_figure_data(tmp_path)
    text = report.report_html(data, [MissingFigure("6.8-long", "The long one", "no run is <long> enough")])
    assert "<li>The long one: no run is &lt;long&gt; enough</li>" in text
    assert "No run has been evaluated yet; run core evaluate." in text


def test_a_winner_is_marked_only_where_it_is_clear(tmp_path):
    good, bad, other = make_run_grid(tmp_path, names=("linear", "x^10", "sine"))
    levels = {
        "balanced_pass_rate": (0.9, 0.5, 0.895),
        "area_distance": (0.1, 0.11, 0.105),
        "grey_pass_rate": (0.5, 0.5, 0.9),
    }
    for index, run in enumerate((good, bad, other)):
        metrics = {
            name: Estimate(values[index], values[index] - 0.02, values[index] + 0.02)
            for name, values in levels.items()
        }
        add_evaluation(run, evaluation(metrics=metrics, real={}))
    data = read_figure_data(tmp_path)
    table = tables.headline_table(data, tables.compare_all_series(data))
    assert table.heads == ("data", "", "linear", "sine", "x^10")
    best = {row[1].lines[0]: [cell.best for cell in row[2:]] for row in table.rows}
    assert best == {
        "balanced pass ↑": [True, True, False],
        "area TV ↓": [False, False, False],
        "grey pass ↑": [False, True, False],
    }


def test_results_have_a_column_a_schedule_and_one_for_real_images(tmp_path):
    make_run_grid(tmp_path, seeds=(0, 1), evaluated=True)
    data = read_figure_data(tmp_path)
    (table,) = tables.result_tables(data, tables.compare_all_series(data))
    assert table.heads == ("", "linear", "x^10", "real images")
    assert len(table.rows) == len(TRIANGLE_METRICS)
    assert "1,000 samples against 1,000 held-out images, ddim with eta 1 in 50 steps" in table.note
    cells = {row[0].lines[0]: row for row in table.rows}
    assert (cells["coverage ↑"][-1].lines, cells["coverage ↑"][-1].detail) == (("96.0%",), "[95.0, 97.0]")
    assert cells["residual ↓"][-1].lines == ("0.02",)
    assert cells["mmd" if "mmd" in cells else "MMD ↓"][-1].lines == ("–",)


@pytest.mark.parametrize(
    ("estimate", "share", "expected"),
    [
        (Estimate(0.9312, 0.9101, 0.9523), True, ("93.1%", "[91.0, 95.2]")),
        (Estimate(0.5, 0.1, 0.9), True, ("50%", "[10, 90]")),
        (Estimate(-0.00123, -0.0015, -0.0009), False, ("−0.00123", "[−0.00150, −0.00090]")),
        (Estimate(12.345), False, ("12.3", "")),
        (Estimate(0.5, 0.5, 0.5), False, ("0.5", "")),
        (Estimate(1e-9, 0.0, 2e-9), False, ("0.000000", "[0.000000, 0.000000]")),
        (Estimate(-0.004, -0.5, 0.5), False, ("0.0", "[−0.5, 0.5]")),
        (Estimate(None, 0.1, 0.2), False, ("–", "")),
        (None, True, ("–", "")),
    ],
)
def test_numbers_have_as_many_digits_as_their_interval_allows(estimate, share, expected):
    cell = tables.estimate_cell(estimate, METRICS["pass_rate" if share else "mmd"])
    assert (" ".join(cell.lines), cell.detail) == expected


def test_differing_settings_are_separate_from_shared_ones(tmp_path):
    make_configured_run(tmp_path, "a", train=TrainConfig(seed=0, epochs=2))
    make_configured_run(tmp_path, "b", train=TrainConfig(seed=1, epochs=2))
    make_configured_run(
        tmp_path, "c", train=TrainConfig(seed=1, epochs=2), schedule=ScheduleConfig(name="sine")
    )
    members = read_figure_data(tmp_path).members
    assert texts(tables.difference_table(members)) == [
        ("schedule.name", "linear (2 runs) sine (1 run)"),
        ("train.seed", "0 (1 run) 1 (2 runs)"),
    ]
    common = tables.common_settings(members)
    assert "epochs = 2" in common
    assert "[schedule]" in common
    assert "seed = 0" in common  # of the samples
    assert 'name = "linear"' not in common
    assert tables.difference_table(members[:1]).rows == ()


def test_schedules_are_listed_with_what_they_leave_of_an_image(tmp_path):
    make_run_grid(tmp_path, datasets=("high", "low"), images=False)
    linear, steep = texts(tables.schedule_table(read_figure_data(tmp_path)))
    schedule = make_schedule("x^10")
    assert linear[:3] == ("linear", "1,000", "4.04e−05")
    assert steep[2] == f"{schedule.terminal_alpha_bar:.3g}"
    assert steep[4] == f"{schedule.prior_bits_per_dim():.3g}"
    assert steep[5] == schedule.diagnosis().text


def test_runs_are_listed_with_where_they_stand(tmp_path):
    make_run(tmp_path, run_id="good", epochs=4)
    make_run(tmp_path, run_id="spoilt", schedule="sine", epochs=4, nan_from=1, state=State.FAILED)
    good, spoilt = texts(tables.run_table(load_figure_data(RunStore(tmp_path).infos())))
    assert good[:6] == ("good", "high", "linear", "0", "finished", "4 of 4")
    assert spoilt[4:] == ("failed", "2 of 4", "–", "–")


def test_provenance_says_how_many_runs_each_value_is_of(tmp_path):
    for index, version in enumerate(("2.12", "2.13", "2.13")):
        run = make_run(tmp_path, run_id=f"run{index}", config=RunConfig(), epochs=1, images=False)
        rename(run, provenance={"torch": version, "python": "3.11.7"} | ({"commit": "abc"} if index else {}))
    assert texts(tables.provenance_table(read_figure_data(tmp_path).members)) == [
        ("commit", "abc (2 runs)"),
        ("device", "cpu"),
        ("python", "3.11.7"),
        ("torch", "2.12 (1 run) 2.13 (2 runs)"),
    ]


def keep_interventions(runs, *variants):
    for run, changes in zip(runs, variants, strict=False):
        made = subject("", changes).interventions
        sampling = msgspec.json.decode(msgspec.json.encode(run.read().config.sample))
        write_interventions(run, msgspec.structs.replace(made, epoch=3, sampling=sampling))


def test_the_page_says_why_runs_are_worse_and_which_were_not_explained(tmp_path):
    runs = make_run_grid(tmp_path, names=("linear", "x^10"), seeds=(0, 1))
    assert "No run has been explained; run core explain." in "".join(
        Page(report.report_html(read_figure_data(tmp_path), [])).texts
    )
    keep_interventions(runs, {}, None, {"own": 0.3, "finer": 0.35, "gaussian": 0.6})
    (runs[1].path / "interventions.json").unlink()
    data = read_figure_data(tmp_path)
    page = Page(report.report_html(data, []))
    assert page.wrong == []
    text = "".join(page.texts)
    assert re.search(
        r"x\^10, seed 0: misses \d+% of the kinds of real images, .* more than linear, seed 0", text
    )
    assert "is the start of sampling" in text
    assert "Not explained yet: linear, seed 1, x^10, seed 1." in text
    found = explain_runs(data)
    table = cause_table(found.explanations["high"], "high")
    for row in texts(table):
        assert float(row[3]) == pytest.approx(sum(map(float, row[4:])), abs=0.02)
    figure, _ = draw_causes(data)
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["linear, seed 0", "$x^{10}$, seed 0"]
    start = next(bar for bar in axis.patches if bar.get_y() > 0.5)
    assert start.get_width() == pytest.approx(float(texts(table)[1][4]), abs=0.005)
