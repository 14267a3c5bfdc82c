"""Training recipes: stacking, grids, overrides, and mistakes found before anything is queued."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from core.config import RunConfig, SampleConfig, decode, encode_toml
from core.config.tables import flatten, set_key
from core.errors import UserError
from core.recipes import list_recipes, load_recipe
from core.sampling_names import SAMPLER_NAMES, SAMPLERS_WITH_ETA
from core.schedules import SCHEDULE_NAMES, make_schedule

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_recipe(name: str, text: str) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write_recipe


def names(recipe: str, *overrides: str) -> list[str]:
    return [config.schedule.name for config in load_recipe(recipe, overrides).configs]


def refusal(recipe: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(recipe, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_quick_and_thesis_are_packaged_with_descriptions() -> None:
    listed = dict(list_recipes())
    assert {"quick", "thesis"} <= set(listed)
    assert all(listed.values())


@pytest.mark.parametrize("name", [name for name, _ in list_recipes()])
def test_every_packaged_recipe_can_be_loaded(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description == dict(list_recipes())[name]
    assert all(config.recipe == name for config in recipe.configs)


def test_quick_is_five_schedules_on_clean_triangles() -> None:
    recipe = load_recipe("quick")
    assert tuple(names("quick")) == SCHEDULE_NAMES
    for config in recipe.configs:
        assert config.data.dataset == "high"
        assert config.model.preset == "lean"
        assert config.schedule.timesteps == 1000
        assert config.sample.every == 1


@pytest.mark.parametrize("name", ["edm", "flow"])
def test_edm_and_flow_are_quick_but_for_noise_and_weights(name: str) -> None:
    (config,) = load_recipe(name).configs
    quick = load_recipe("quick").configs[0]
    assert (config.data, config.model) == (quick.data, quick.model)
    same = {"noise_levels": quick.train.noise_levels, "loss_weight": quick.train.loss_weight}
    assert msgspec.structs.replace(config.train, **same) == quick.train
    assert config.schedule.name == name
    assert config.schedule.timesteps == quick.schedule.timesteps


def test_thesis_is_the_thesis() -> None:
    recipe = load_recipe("thesis")
    assert tuple(names("thesis")) == SCHEDULE_NAMES
    for config in recipe.configs:
        assert (config.schedule.timesteps, config.schedule.beta_start, config.schedule.beta_end) == (
            300,
            1e-4,
            0.02,
        )
        assert (config.diffusion.prediction_type, config.diffusion.variance) == ("epsilon", "beta")
        assert (config.model.preset, config.model.width) == ("thesis", None)
        train = config.train
        assert (train.epochs, train.batch_size, train.optimizer, train.learning_rate) == (
            100,
            128,
            "adam",
            1e-3,
        )
        assert (train.warmup_steps, train.cooldown, train.ema_decay) == (0, 0, 0)
        assert (train.stratified_timesteps, train.augment, train.precision) == (False, "none", "fp32")
        assert (config.sample.sampler, config.sample.steps, config.sample.every) == ("ddpm", None, 10)


def test_runs_of_a_recipe_differ_in_their_grid_only() -> None:
    first, *others = load_recipe("quick").configs
    tables = [tomllib.loads(encode_toml(config)) for config in (first, *others)]
    for table in tables:
        table["schedule"].pop("name")
    assert all(table == tables[0] for table in tables)


def test_a_resolved_config_reads_back_as_itself() -> None:
    for config in load_recipe("quick").configs:
        assert decode(tomllib.loads(encode_toml(config)), RunConfig, source="run.toml") == config


def test_a_recipe_without_a_grid_is_one_run(write: Write) -> None:
    for text in ("", "[grid]\n", "[train]\nepochs = 3\n"):
        recipe = load_recipe(write("mine.toml", text))
        assert len(recipe.configs) == 1
        assert recipe.name == "mine"
        assert recipe.configs[0].recipe == "mine"


def test_the_first_axis_of_a_grid_is_the_slowest(write: Write) -> None:
    path = write("mine.toml", '[grid]\n"schedule.name" = ["sine", "linear"]\n"train.seed" = [2, 1, 0]\n')
    made = [(config.schedule.name, config.train.seed) for config in load_recipe(path).configs]
    assert made == [("sine", 2), ("sine", 1), ("sine", 0), ("linear", 2), ("linear", 1), ("linear", 0)]


def test_a_grid_key_may_be_written_without_quotes(write: Write) -> None:
    path = write("mine.toml", "[grid]\ntrain.seed = [1, 2]\ntrain.epochs = [3]\n")
    assert [(c.train.seed, c.train.epochs) for c in load_recipe(path).configs] == [(1, 3), (2, 3)]


def test_an_override_changes_every_run() -> None:
    configs = load_recipe("quick", ["train.epochs=3", "data.count=64"]).configs
    assert [(config.train.epochs, config.data.count) for config in configs] == [(3, 64)] * 5


def test_a_later_override_wins() -> None:
    assert load_recipe("quick", ["train.epochs=3", "train.epochs=4"]).configs[0].train.epochs == 4


def test_a_value_replaces_an_axis_of_the_grid() -> None:
    assert names("quick", "schedule.name=cosine") == ["cosine"]
    assert names("quick", 'schedule.name="x^3"') == ["x^3"]


def test_a_list_replaces_or_makes_an_axis() -> None:
    assert names("quick", 'schedule.name=["linear", "sine"]') == ["linear", "sine"]
    configs = load_recipe("quick", ['schedule.name=["linear", "sine"]', "train.seed=[0, 1]"]).configs
    assert [(c.schedule.name, c.train.seed) for c in configs] == [
        ("linear", 0),
        ("linear", 1),
        ("sine", 0),
        ("sine", 1),
    ]


def test_a_value_after_a_list_and_a_list_after_a_value_win() -> None:
    assert names("quick", 'schedule.name=["linear", "sine"]', "schedule.name=sine") == ["sine"]
    assert names("quick", "schedule.name=sine", 'schedule.name=["linear", "sine"]') == ["linear", "sine"]


def test_a_whole_section_can_be_set_at_once() -> None:
    configs = load_recipe("quick", ["train={epochs=[1, 2], seed=3}", "schedule.name=sine"]).configs
    assert [(c.train.epochs, c.train.seed) for c in configs] == [(1, 3), (2, 3)]
    assert {c.train.batch_size for c in configs} == {load_recipe("quick").configs[0].train.batch_size}
    assert load_recipe("quick", ["train={}"]) == load_recipe("quick")


def test_a_recipe_that_extends_another_changes_only_what_it_says(write: Write) -> None:
    mine = load_recipe(write("mine.toml", 'extends = "quick"\n[train]\nepochs = 2\n'))
    quick = load_recipe("quick")
    assert mine.description == quick.description
    for config, base in zip(mine.configs, quick.configs, strict=True):
        assert config.train.epochs == 2
        assert config.train.batch_size == base.train.batch_size
        assert (config.schedule, config.sample, config.recipe) == (base.schedule, base.sample, "mine")


def test_a_value_in_an_extension_replaces_an_axis_and_an_axis_a_value(write: Write) -> None:
    one = write("one.toml", 'extends = "quick"\ndescription = "one"\n[schedule]\nname = "cosine"\n')
    assert names(one) == ["cosine"]
    two = write("two.toml", 'extends = "one.toml"\n[grid]\n"schedule.name" = ["sine", "x^2"]\n')
    assert names(two) == ["sine", "x^2"]
    assert load_recipe(two).description == "one"


def test_later_recipes_override_earlier_ones(write: Write) -> None:
    write("a.toml", "[train]\nepochs = 1\nseed = 1\n")
    write("b.toml", "[train]\nepochs = 2\n")
    config = load_recipe(write("c.toml", 'extends = ["quick", "a.toml", "b.toml"]\n')).configs[0]
    assert (config.train.epochs, config.train.seed) == (2, 1)
    assert config.train.batch_size == load_recipe("quick").configs[0].train.batch_size


def test_extended_files_are_looked_for_beside_the_recipe(write: Write) -> None:
    write("deep/base.toml", "[train]\nepochs = 9\n")
    write("deep/mid.toml", 'extends = "base.toml"\n')
    assert load_recipe(write("top.toml", 'extends = "deep/mid.toml"\n')).configs[0].train.epochs == 9


def test_one_recipe_may_be_extended_twice(write: Write) -> None:
    write("a.toml", 'extends = "quick"\n')
    write("b.toml", 'extends = "quick"\n')
    assert len(load_recipe(write("c.toml", 'extends = ["a.toml", "b.toml"]\n')).configs) == 5


def test_a_cycle_of_extensions_is_named(write: Write) -> None:
    write("a.toml", 'extends = "b.toml"\n')
    path = write("b.toml", 'extends = "a.toml"\n')
    assert refusal(path).endswith("b.toml: extends itself (b.toml -> a.toml -> b.toml)")
    assert "extends itself" in refusal(write("c.toml", 'extends = "c.toml"\n'))


def test_an_unknown_recipe_lists_the_known_ones_and_the_nearest() -> None:
    message = refusal("quik")
    assert message.startswith("no recipe called 'quik'; did you mean quick? Known: ")
    assert message.endswith("; or give the path of a .toml file or of your images")


def test_a_folder_of_images_in_place_of_a_recipe_is_told_how_to_train_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letters").mkdir()
    monkeypatch.chdir(tmp_path)
    assert refusal("letters") == (
        "no recipe called 'letters'; it is a folder: train on its images with --set data.dataset=letters"
    )
    assert refusal("x" * 5000).startswith("no recipe called 'xxx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "none.toml")).endswith("none.toml: no such recipe file")
    assert "no such recipe file" in refusal("~nobody-at-all/x.toml")
    assert "no such recipe file" in refusal("nul\0.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nepocs = 3", "mine.toml: unknown key train.epocs = 3; did you mean train.epochs?"),
        ("[gird]\nx = 1", "mine.toml: unknown key gird = {'x': 1}; did you mean grid?"),
        ('extend = "quick"', "mine.toml: unknown key extend = quick; did you mean extends?"),
        ("[train]\nepochs = 0", "mine.toml: train.epochs = 0: expected `int` >= 1"),
        ('extends = "quik"', "no recipe called 'quik'; did you mean quick?"),
        ("extends = 3", "mine.toml: extends = 3"),
        (
            '[grid]\n"train.epocs" = [3]',
            "mine.toml: grid: unknown key train.epocs = 3; did you mean train.epochs?",
        ),
        ('[grid]\n"train.epochs" = [3, "x"]', "mine.toml: grid: train.epochs = x: expected `int`, got `str`"),
        (
            '[grid]\n"train.epochs" = []',
            "mine.toml: grid: train.epochs = []: expected a list of at least one value",
        ),
        (
            '[grid]\n"train.epochs" = 3',
            "mine.toml: grid: train.epochs = 3: expected a list of at least one value",
        ),
        (
            "[grid]\ntrain = [{epochs = 1}]",
            "mine.toml: grid: train: expected plain values; name the key itself",
        ),
        ("grid = 3", "mine.toml: grid = 3"),
        (
            '[model]\npreset = "leen"',
            "mine.toml: model.preset = leen: expected one of thesis, lean",
        ),
        (
            '[grid]\n"train.augment" = ["flips", "turns"]',
            "mine.toml: grid: train.augment = turns: expected one of none, flips, dihedral, auto",
        ),
        ('[schedule]\nname = "linaer"', "mine.toml: unknown schedule 'linaer'; did you mean linear?"),
        (
            '[grid]\n"schedule.name" = ["linear", "sin"]',
            "mine.toml: unknown schedule 'sin'; did you mean sine?",
        ),
        ("[schedule]\ntimesteps = 20\n[sample]\nsteps = 50", "expected at most 20"),
        ("[train", "mine.toml: not valid TOML"),
    ],
)
def test_a_mistake_in_a_recipe_names_the_file_and_the_key(write: Write, text: str, message: str) -> None:
    assert message in refusal(write("mine.toml", text))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.epocs=3", "--set train.epocs=3: unknown key train.epocs = 3; did you mean train.epochs?"),
        ("train.epochs=x", "--set train.epochs=x: train.epochs = x: expected `int`, got `str`"),
        ("train.epochs=[1, 0]", "--set train.epochs=[1, 0]: train.epochs = 0: expected `int` >= 1"),
        (
            "train.epochs=[]",
            "--set train.epochs=[]: train.epochs = []: expected a list of at least one value",
        ),
        ("train.epochs", "--set train.epochs: expected section.key=value"),
        (
            "sample.sampler=chrun",
            "--set sample.sampler=chrun: sample.sampler = chrun: "
            "expected one of ddpm, ddim, dpm++, unipc, churn",
        ),
        ("sample.clip=1", "--set sample.clip=1: sample.clip = 1: expected one of none, static, dynamic"),
        (
            "model.preset=[lean, thesis]",
            "model.preset = [lean, thesis]: expected one of thesis, lean",
        ),
        ("train=3", "--set train=3: train = 3: expected `object`, got `int`"),
        ("train.seed={a=1}", "--set train.seed={a=1}: train.seed = {'a': 1}: expected `int`, got `object`"),
        ("schedule.name=linaer", "unknown schedule 'linaer'; did you mean linear?"),
        (
            "sample.steps=2000",
            "sample.steps = 2000 is more than the schedule's 1000 timesteps; expected at most 1000",
        ),
        ("grid.x=[1]", "--set grid.x=[1]: unknown key grid"),
    ],
)
def test_a_mistake_in_an_override_names_it(assignment: str, message: str) -> None:
    assert message in refusal("quick", assignment)


def test_a_grid_with_too_many_runs_is_rejected() -> None:
    seeds = f"train.seed={list(range(200))}"
    message = refusal("quick", seeds, f"sample.seed={list(range(200))}")
    assert message.endswith("its grid has 200000 runs; expected at most 10000")


def test_the_recipe_name_saved_in_the_runs_can_be_chosen() -> None:
    assert load_recipe("quick", ["recipe=trial"]).configs[0].recipe == "trial"


def test_flatten_is_the_inverse_of_set_key() -> None:
    table = {"recipe": "mine", "train": {"epochs": 3, "cooldown": 0.5}, "grid": {"schedule.name": ["sine"]}}
    flat = flatten(table)
    assert flat == {
        "recipe": "mine",
        "train.epochs": 3,
        "train.cooldown": 0.5,
        "grid.schedule.name": ["sine"],
    }
    again: dict[str, object] = {}
    for key, value in flat.items():
        set_key(again, key, value, source="test")
    assert flatten(again) == flat


def test_the_thesis_grid_is_fifteen_cells_and_two_seeds() -> None:
    for name, preset in (("thesis-grid", "lean"), ("thesis-grid-full", "thesis")):
        configs = load_recipe(name).configs
        cells = {(c.data.dataset, c.schedule.name, c.train.seed) for c in configs}
        assert len(configs) == len(cells) == 5 * 3 * 2
        assert {c.model.preset for c in configs} == {preset}
        assert {c.schedule.timesteps for c in configs} == {300}
    seeds = [c.train.seed for c in load_recipe("thesis-grid").configs]
    assert seeds == sorted(seeds)


def test_the_matched_schedule_ends_where_linear_does() -> None:
    (matched, _) = (
        make_schedule(**msgspec.structs.asdict(c.schedule))
        for c in load_recipe("terminal-snr-matched").configs
    )
    linear = make_schedule("linear", timesteps=300)
    assert matched.terminal_alpha_bar == pytest.approx(linear.terminal_alpha_bar, rel=0.01)
    rest = {
        c.schedule.zero_terminal_snr: c.diffusion.prediction_type for c in load_recipe("terminal-snr").configs
    }
    assert rest == {False: "v_prediction", True: "v_prediction"}


def test_boolean_clipping_of_older_files_is_read_as_a_name(write: Write) -> None:
    for text, expected in (("true", "static"), ("false", "none"), ('"dynamic"', "dynamic")):
        config = load_recipe(write("old.toml", f"[sample]\nclip = {text}\n")).configs[0]
        assert config.sample.clip == expected
        assert load_recipe("quick", [f"sample.clip={text}"]).configs[0].sample.clip == expected
    with pytest.raises(UserError, match=r"sample\.clip = 1"):
        load_recipe("quick", ["sample.clip=1"])


def test_the_samplers_with_eta_are_those_of_the_science() -> None:
    from core.diffusion.samplers.registry import SAMPLERS

    assert set(SAMPLERS_WITH_ETA) < set(SAMPLERS)
    assert set(SAMPLERS) == set(get_args(get_type_hints(SampleConfig)["sampler"])) == set(SAMPLER_NAMES)
