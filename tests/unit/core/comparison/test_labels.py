"""Labels of runs: as little of their settings as tells them apart."""

from datetime import timedelta

import msgspec
import pytest

from core.cli.describe import run_labels
from core.comparison.compare import compare
from core.comparison.grouping import Member, read_members
from core.comparison.sweep import swept_settings
from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.config.schema import DataConfig, ModelConfig
from core.figures.figure_data import load_figure_data
from core.runs import RunStore
from tests.support.fake_runs import CREATED, make_run

BARE = {"images": False}


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (("/long/path/gentle.npy", "/long/path/steep.npy"), ["custom gentle", "custom steep"]),
        (("/a/levels.npy", "/b/levels.npy"), ["custom a/levels", "custom b/levels"]),
        (("/a/levels.npy", "/a/levels.txt"), ["custom levels.npy", "custom levels.txt"]),
        (("/a/l.npy", "/a/l.txt", "/b/l.npy"), ["custom /a/l.npy", "custom /a/l.txt", "custom /b/l.npy"]),
        (("/a/" + 40 * "x" + ".npy", "/a/y.npy"), ["custom xxxxxxxxxx…xxxxxxxxx", "custom y"]),
    ],
)
def test_a_file_of_betas_is_labelled_by_the_least_of_its_path(tmp_path, files, labels):
    for place, file in enumerate(files):
        made = RunConfig(schedule=ScheduleConfig(name="custom", file=file))
        created = CREATED + timedelta(seconds=place)
        make_run(tmp_path, config=made, run_id=f"r{place}", created=created, **BARE)
    infos = sorted(RunStore(tmp_path).infos(), key=lambda info: info.id)
    assert [row.label for row in compare(read_members(infos)[0]).rows] == labels
    assert list(run_labels(infos).values()) == labels
    if len(files) < 3:
        assert set(load_figure_data(infos).labels) == {label.replace(" ", ", ") for label in labels}


def test_settings_that_the_rule_of_images_derived_are_neither_in_labels_nor_offered(tmp_path):
    def fitted(side: int, **own: object) -> RunConfig:
        batch_size, epochs, width = {16: (64, 150, 32), 32: (32, 90, 48)}[side]
        train = msgspec.structs.replace(TrainConfig(batch_size=batch_size, epochs=epochs), **own)
        data, model = DataConfig(dataset="faces", size=side), ModelConfig(width=width)
        return RunConfig(recipe="images", data=data, model=model, train=train)

    configs = [fitted(16), fitted(32), fitted(32, learning_rate=0.5), fitted(16, epochs=7)]
    for place, config in enumerate(configs):
        created = CREATED + timedelta(seconds=place)
        make_run(tmp_path, config=config, run_id=f"r{place}", created=created, **BARE)
    infos = sorted(RunStore(tmp_path).infos(), key=lambda info: info.id)
    members = read_members(infos)[0]

    def labels(*chosen: Member) -> list[str]:
        return [row.label for row in compare(chosen).rows]

    assert labels(*members[:2]) == ["linear size=16", "linear size=32"]
    assert swept_settings(members[:2]) == ["data.size"]
    assert load_figure_data(infos[:2]).labels == ("linear, size 16", "linear, size 32")
    assert labels(*members[1:3]) == ["linear learning_rate=0.001", "linear learning_rate=0.5"]
    assert labels(members[0], members[3]) == ["linear epochs=150", "linear epochs=7"]
    assert "train.epochs" in swept_settings(members)
