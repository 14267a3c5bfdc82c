"""Data recipes by name, file and folder, and the errors for missing ones."""

from pathlib import Path

import pytest

from core.data import default_data_dir, find_data_recipe, list_data_recipes, load_dataset
from core.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_three_data_sets_of_the_thesis_are_packaged(tmp_path: Path) -> None:
    recipes = list_data_recipes(tmp_path)
    assert [recipe.name for recipe in recipes] == ["array", "high", "kinds", "low"]
    for recipe in recipes:
        assert (recipe.count, recipe.heldout, recipe.size) == (10_000, 2_000, 32)
        assert recipe.description


def test_the_three_data_sets_differ_as_in_the_thesis(tmp_path: Path) -> None:
    low, high, array = (find_data_recipe(name, tmp_path) for name in ("low", "high", "array"))
    assert (low.antialias, low.canvas, low.storage, low.quality) == (True, None, "jpeg", 75)
    assert (high.antialias, high.canvas, high.storage) == (False, 720, "png")
    assert (array.antialias, array.canvas, array.storage) == (False, None, "array")


def test_a_recipe_in_the_data_folder_is_found_by_name_and_hides_a_packaged_one(tmp_path: Path) -> None:
    write(tmp_path / "tiny.toml", "size = 8\ncount = 4\nheldout = 2\n")
    write(tmp_path / "high.toml", "size = 9\n")
    assert find_data_recipe("tiny", tmp_path).size == 8
    assert find_data_recipe("high", tmp_path).size == 9
    assert [recipe.name for recipe in list_data_recipes(tmp_path)] == [
        "array",
        "high",
        "kinds",
        "low",
        "tiny",
    ]
    assert load_dataset("tiny", data_dir=tmp_path).train.shape == (4, 1, 8, 8)


def test_a_recipe_is_found_by_its_path_and_named_after_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.toml", "size = 8\n")
    assert find_data_recipe(str(path)).name == "mine"
    assert find_data_recipe(str(write(tmp_path / "x.toml", 'name = "y"\n'))).name == "y"


def test_default_counts_are_those_of_the_thesis(tmp_path: Path) -> None:
    recipe = find_data_recipe(str(write(tmp_path / "mine.toml", "")))
    assert (recipe.count, recipe.heldout) == (10_000, 2_000)


def test_the_data_folder_is_that_of_the_environment_else_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DDPM_DATA", raising=False)
    assert default_data_dir() == Path("datasets")
    monkeypatch.setenv("DDPM_DATA", "/somewhere/else")
    assert default_data_dir() == Path("/somewhere/else")
    monkeypatch.setenv("DDPM_DATA", "")
    assert default_data_dir() == Path("datasets")


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        find_data_recipe("hihg", tmp_path)
    assert str(caught.value) == (
        "no data set called 'hihg'; did you mean high? Known: array, high, kinds, low; "
        "or give a folder of images, a zip, tar, .npy, .npz, IDX, parquet or arrow file of images, or a recipe's .toml"
    )


@pytest.mark.parametrize("name", ["", "no/such/folder", "nul\0", "~nobody-at-all/x", "x" * 5_000, "a\nb"])
def test_an_invalid_name_is_rejected_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        find_data_recipe(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml: cannot be read \(No such file or directory\)"):
        find_data_recipe(str(tmp_path / "none.toml"))


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    path = write(tmp_path / "picture.png", "")
    with pytest.raises(UserError, match=r"picture\.png.: a file; expected a folder of images"):
        find_data_recipe(str(path), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sise = 8", r"mine\.toml: unknown key sise = 8; did you mean size\?"),
        ("size = 0", r"mine\.toml: size = 0: expected `int` >= 1"),
        ("size = 5000", r"mine\.toml: size = 5000"),
        ("channels = 2", r"mine\.toml: channels = 2: expected one of 1, 3"),
        ('kind = "squares"', r"mine\.toml: kind = squares: expected one of triangles, folder"),
        ('storage = "gif"', r"mine\.toml: storage = gif: expected one of jpeg, png, array"),
        ("seed = -1", r"mine\.toml: seed = -1"),
        ("canvas = 16", r"mine\.toml: canvas = 16 is smaller than size = 32; expected at least the size"),
        ('storage = "array"\ncanvas = 64', r'mine\.toml: storage = "array" is strictly two-valued'),
        ('storage = "array"\nantialias = true', r'mine\.toml: storage = "array" is strictly two-valued'),
        ('kind = "folder"', r'mine\.toml: kind = "folder" needs path'),
        ("size = ", r"mine\.toml: not valid TOML"),
    ],
)
def test_a_mistake_in_a_recipe_names_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_data_recipe(str(write(tmp_path / "mine.toml", text)))


def test_a_folder_in_a_recipe_starts_at_the_recipes_own_file(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    path = write(tmp_path / "recipes" / "mine.toml", 'kind = "folder"\npath = "../pictures"\n')
    assert find_data_recipe(str(path)).path == str(tmp_path / "pictures")


def test_a_folder_is_a_data_set_but_a_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "high").mkdir()
    (tmp_path / "cats").mkdir()
    assert find_data_recipe("high").kind == "triangles"
    assert find_data_recipe("./high").path == str(tmp_path / "high")
    cats = find_data_recipe("cats")
    assert (cats.kind, cats.name, cats.path) == ("folder", "cats", str(tmp_path / "cats"))
