"""Settings of the new-run form that may be None: the empty text."""

from pathlib import Path

import pytest

from tui.state.run_draft import RunDraft, field_error


def test_an_empty_text_is_none_and_takes_back_a_setting_of_the_dataset(tmp_path: Path) -> None:
    draft = RunDraft.from_recipe("quick")
    assert draft.initial_values()["data.size"] == draft.initial_values()["data.fit"] == ""
    values = draft.initial_values() | {
        **{"data.dataset": str(tmp_path), "data.size": "48", "data.fit": "pad", "data.background": "white"},
        **{"data.channels": "grey", "data.heldout_share": "0.2"},
    }
    (config,) = draft.build(values, ["linear"])
    data = config.data
    assert (data.size, data.fit, data.background, data.channels) == (48, "pad", "white", "grey")
    assert data.heldout_share == 0.2
    again = RunDraft.from_configs([config])
    assert again.initial_values()["data.size"] == "48"
    emptied = again.initial_values() | {"data.size": "", "data.fit": ""}
    (config,) = again.build(emptied, ["linear"])
    assert (config.data.size, config.data.fit, config.data.background) == (None, None, "white")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("data.size", "0", "expected a whole number >= 1"),
        ("data.size", "big", "expected a whole number"),
        ("data.background", "red", "expected black, white, grey or #rrggbb"),
        ("data.heldout_share", "1", "expected a number < 1.0"),
        ("data.channels", "blue", "expected one of grey, colour"),
        ("data.labels", "", "expected a value"),
        ("data.size", "48", ""),
        ("data.size", " ", ""),
        ("data.fit", "", ""),
        ("data.background", "#ffcc00", ""),
    ],
)
def test_a_mistake_in_an_optional_setting_is_explained_and_the_empty_text_is_none(
    key: str, text: str, message: str
) -> None:
    assert field_error(key, text) == message
