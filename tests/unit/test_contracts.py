"""Import contracts between packages, checked in fresh interpreters, and the rule that all randomness is seeded.

The same walls are checked statically by import-linter (`make check`, contracts in pyproject.toml).
"""

import ast
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.main import COMMANDS
from tests.support import ROOT

WITH_TORCH = (
    "core.diffusion",
    "core.training",
    *(
        f"core.evaluation.{name}"
        for name in (
            "cross",
            "epoch_quality",
            "features",
            "parallel",
            "predicted_noise",
            "metrics.general",
            "interventions",
            "preprocess",
            "sampling",
            "starts",
            "metrics.denoising",
            "metrics.restoration",
            "restoration.restore",
            "restoration.tasks",
            "metrics.likelihood",
            "metrics.noise_error",
            "metrics.predicted_noise",
            "metrics.reconstruction",
        )
    ),
)
STARTS_A_PROGRAM = ("core.__main__", "tui.__main__")


def modules_of(package: str) -> list[str]:
    paths = sorted((ROOT / package.replace(".", "/")).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def loaded_after(code: str, cwd: Path | None = None) -> set[str]:
    """The modules loaded in a fresh interpreter after running the code."""
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def loaded_by_importing(modules: list[str]) -> set[str]:
    return loaded_after(
        "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in modules)
    )


def test_the_dashboard_never_loads_torch() -> None:
    loaded = loaded_by_importing(modules_of("tui"))
    assert "textual" in loaded
    assert not [name for name in loaded if is_in(name, ("torch", "safetensors", "core.cli", *WITH_TORCH))]


UP_TO_THE_FIRST_FRAME = """
import os, pty
import tui.__main__ as program
import tui.app.dashboard
os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_STATE_HOME"] = os.getcwd()
for number in (0, 1):
    os.dup2(pty.openpty()[1], number)
tui.app.dashboard.Dashboard.run = lambda self: os.write(2, b"the first frame is painted now\\n")
assert program.main(["--runs", "runs"]) == 0
"""


def test_the_first_frame_waits_for_nothing_that_draws_runs(tmp_path: Path) -> None:
    loaded = loaded_after(UP_TO_THE_FIRST_FRAME, cwd=tmp_path)
    assert "tui.screens.splash.screen" in loaded
    heavy = (
        "tomlkit",
        "numpy",
        "PIL",
        "psutil",
        "msgspec",
        "core.runs",
        "core.config",
        "core.imaging",
        "tui.state.reader",
    )
    assert not [name for name in loaded if is_in(name, heavy)]


def test_settings_that_are_only_read_need_no_writer_of_toml(tmp_path: Path) -> None:
    (tmp_path / "ddpm-tui").mkdir()
    (tmp_path / "ddpm-tui/settings.toml").write_text("zoom = 2\n", encoding="utf-8")
    (tmp_path / "ddpm-tui/keys.toml").write_text('"run.stop" = "s"\n', encoding="utf-8")
    loaded = loaded_after(UP_TO_THE_FIRST_FRAME, cwd=tmp_path)
    assert {"tui.settings.store", "tomli"} <= loaded
    assert not loaded & {"tomlkit", "tui.settings.toml_edit"}


def test_core_never_loads_textual_or_the_dashboard() -> None:
    loaded = loaded_by_importing(modules_of("core"))
    assert "torch" in loaded
    assert not [name for name in loaded if is_in(name, ("textual", "tui"))]


def test_the_rooms_without_a_star_never_load_torch() -> None:
    rooms = [name for name in modules_of("core") if not is_in(name, WITH_TORCH)]
    loaded = loaded_by_importing(rooms)
    assert {"core.launch", "core.runs", "core.data", "core.cli.main"} <= loaded
    assert not [name for name in loaded if is_in(name, ("torch", "safetensors"))]


def test_the_science_loads_nothing_of_core_but_schedules_their_files_spacing_names_and_errors() -> None:
    loaded = loaded_by_importing(modules_of("core.diffusion"))
    ours = {name for name in loaded if is_in(name, ("core",))}
    assert {name for name in ours if not is_in(name, ("core.diffusion",))} == {
        "core",
        "core.errors",
        "core.files",
        "core.files.untrusted",
        "core.noise_paths",
        "core.sampling_names",
        "core.schedules",
        "core.spacing",
    }


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["schedules"], ["runs", "list"], ["doctor"], ["data", "list"]]
    + [[command, "--help"] for command in COMMANDS],
    ids=" ".join,
)
def test_commands_that_compute_nothing_do_not_wait_for_torch(arguments: list[str], tmp_path: Path) -> None:
    loaded = loaded_after(f"from core.cli.main import run\nassert run({arguments!r}) == 0", cwd=tmp_path)
    assert not [name for name in loaded if is_in(name, ("torch", "textual", "scipy", "cv2", "matplotlib"))]


def test_help_loads_no_command_and_no_numpy() -> None:
    loaded = loaded_after("from core.cli.main import run\nassert run(['--help']) == 0")
    heavy = {"core.cli.schedules", "core.cli.train", "core.data", "numpy", "rich", "PIL", "torch"}
    assert not loaded & heavy


SAMPLERS = {
    *("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"),
    *("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "geometric_", "cauchy_", "log_normal_"),
}
# Those of torch draw from the global generator; only `core.diffusion.samplers.base.randn_like` takes another.
LIKE = {"rand_like", "randn_like", "randint_like"}
SEEDABLE = {
    "default_rng",
    "Generator",
    "SeedSequence",
    "PCG64",
    "PCG64DXSM",
    "Philox",
    "SFC64",
    "MT19937",
    "Random",
}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def unseeded_calls(source: str) -> list[str]:
    """Calls that draw without a passed generator: ``line: call``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        module, _, function = name.rpartition(".")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        generator = given.get("generator")
        if module in ("np.random", "numpy.random", "random") or function == "default_rng":
            first = node.args[0] if node.args else next(iter(given.values()), None)
            seeded = first is not None and not (isinstance(first, ast.Constant) and first.value is None)
            wrong = not (function in SEEDABLE and seeded)
        elif function in LIKE or (
            function in SAMPLERS and (module in ("", "torch") or function.endswith("_"))
        ):
            wrong = generator is None or (isinstance(generator, ast.Constant) and generator.value is None)
        else:
            wrong = False
        if wrong:
            found.append(f"{node.lineno}: {name}")
    return found


@pytest.mark.parametrize(
    "path", sorted((ROOT / "core").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_all_randomness_in_core_comes_from_a_passed_generator(path: Path) -> None:
    assert unseeded_calls(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("torch.randn(3)", True),
        ("torch.randn(3, generator=None)", True),
        ("torch.randn(3, generator=g)", False),
        ("torch.randn_like(x)", True),
        ("randn_like(x)", True),
        ("randn_like(x, generator=g)", False),
        ("randperm(5)", True),
        ("weights.normal_(0, 0.1)", True),
        ("weights.normal_(0, 0.1, generator=g)", False),
        ("np.random.rand(3)", True),
        ("np.random.default_rng()", True),
        ("np.random.default_rng(None)", True),
        ("np.random.default_rng(seed)", False),
        ("default_rng(seed=3)", False),
        ("rng.normal(size=3)", False),
        ("random.random()", True),
        ("random.Random(3)", False),
        ("secrets.token_hex(4)", False),
    ],
)
def test_the_search_for_unseeded_randomness_finds_what_it_should(source: str, caught: bool) -> None:
    assert bool(unseeded_calls(source)) is caught


def unsafe_interpreters(source: str) -> list[str]:
    """Command lines of this Python that would import modules of the working directory: ``line: command``."""
    found = []
    for parent in ast.walk(ast.parse(source)):
        children = list(ast.iter_child_nodes(parent))
        for child, after in itertools.pairwise([*children, None]):
            if not isinstance(child, ast.Attribute) or dotted(child) != "sys.executable":
                continue
            is_command = isinstance(parent, ast.List | ast.Tuple)
            is_safe = isinstance(after, ast.Constant) and after.value in ("-P", "-I")
            is_text = isinstance(parent, ast.Dict | ast.FormattedValue)
            if not (is_safe if is_command else is_text):
                found.append(f"{child.lineno}: {ast.unparse(parent)}")
    return found


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "tui").rglob("*.py")]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_child_process_imports_modules_of_the_working_directory(path: Path) -> None:
    assert unsafe_interpreters(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("run([sys.executable, '-m', 'core'])", True),
        ("run([sys.executable, '-P', '-m', 'core'])", False),
        ("run((sys.executable, '-I', file))", False),
        ("run([sys.executable])", True),
        ("run(sys.executable)", True),
        ("python = sys.executable", True),
        ("report = {'executable': sys.executable}", False),
        ("print(f'{sys.executable} -m pip install textual-serve')", False),
    ],
)
def test_the_search_for_unsafe_interpreters_finds_what_it_should(source: str, caught: bool) -> None:
    assert bool(unsafe_interpreters(source)) is caught
