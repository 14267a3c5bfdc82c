"""Fixtures of the version before the restructuring, and the thin layer through which tests read them.

`tests/fixtures/before-house/make.py` wrote `tests/fixtures/before-house/expected` once, at `COMMIT`.
`tests/cli/test_before_house.py` asks the current version the same questions and compares. All imports from the program
stand here, so that a renamed module changes one file.
"""

import contextlib
import hashlib
import io
import json
import lzma
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import click
import msgspec
import numpy as np
import torch

from core.cli.main import cli
from core.cli.main import run as run_command
from core.config.schema import RunConfig
from core.data.cache import fingerprint, set_dir
from core.data.recipe import DataRecipe, find_data_recipe
from core.errors import UserError
from core.imaging import read_sheet
from core.recipes.load import RecipeFile, load_recipe
from core.runs import RunDirectory
from core.runs.directory import RunFile
from core.runs.metrics import EpochRecord
from core.runs.overlay import Overlay, overlay_path, read_overlay
from core.runs.results import Evaluation, read_evaluations
from core.runs.status import Status
from core.runs.trajectory import Progress, Trajectory, TrajectorySpec
from core.training.checkpoint import Position, read_checkpoint
from tui.__main__ import _parser as dashboard_options
from tui.commands import ALL, SECTIONS
from tui.settings.keymap import keys_of_command, read_keymap, save_keys
from tui.settings.locations import keys_path, state_dir
from tui.settings.schema import read_folders
from tui.settings.store import read_settings, write_settings
from tui.settings.toml_edit import set_value
from tui.state.reader import RunsReader

COMMIT: Final = "6c0e099"
HOUSE: Final = Path(__file__).parents[1] / "fixtures" / "before-house"
EXPECTED: Final = HOUSE / "expected"
STATES: Final = ("finished", "stopped", "queued")
"""There is one run in each; they are told apart by it."""
WALK: Final = TrajectorySpec("ddim", 5)
STORED: Final = {
    "recipe.toml": RecipeFile,
    "data recipe.toml": DataRecipe,
    "run.toml": RunFile,
    "status.json": Status,
    "metrics.jsonl, an epoch": EpochRecord,
    "checkpoint, its position": Position,
    "evaluation.json": Evaluation,
    "overlay.json": Overlay,
    "trajectory.json": Progress,
}
"""What is kept in files, by a name for it."""

Json = Any


def copy_house(folder: Path) -> Path:
    """A copy to look at, since whoever reads may lock, and whoever trains writes."""
    house = Path(shutil.copytree(HOUSE, folder / "house"))
    for packed in house.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    return house


def pack(path: Path) -> None:
    """Put a file in its compressed place; `copy_house` takes it out again."""
    # Of numbers of four bytes, bytes of the same place are alike.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 2, "pb": 2}]
    path.with_name(f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes(), filters=filters))
    path.unlink()


def expected(name: str) -> Json:
    """What was written down."""
    return json.loads((EXPECTED / name).read_text(encoding="utf-8"))


@contextlib.contextmanager
def inside(house: Path) -> Iterator[None]:
    """In the house, with its data, for commands that are carried out in this process."""
    before = os.environ.get("DDPM_DATA")
    os.environ["DDPM_DATA"] = str(house / "datasets")
    try:
        with contextlib.chdir(house):
            yield
    finally:
        os.environ.pop("DDPM_DATA")
        if before is not None:
            os.environ["DDPM_DATA"] = before


def told(house: Path, *arguments: str) -> str:
    """What a command of ``core`` writes to stdout."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with inside(house), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run_command(arguments)
    assert code == 0, f"core {' '.join(arguments)}: {code}: {errors.buffer.getvalue().decode()}"  # type: ignore[attr-defined]  # a BytesIO
    return out.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]  # likewise


def told_json(house: Path, *arguments: str) -> Json:
    """What a command writes as JSON, with the house's own path left out."""
    return json.loads(told(house, *arguments, "--json").replace(str(house), "HOUSE"))


def run_in(house: Path, state: str) -> RunDirectory:
    """The run that was left in this state."""
    for folder in sorted((house / "runs").iterdir()):
        status = folder / "status.json"
        if status.exists() and json.loads(status.read_text(encoding="utf-8"))["state"] == state:
            return RunDirectory(folder)
    raise AssertionError(f"no run is {state}")


def files_of(folder: Path) -> list[str]:
    """All files of a run, but for locks and logs."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.startswith(".") and name != "worker.log")


def key_paths(value: Json, path: str = "") -> set[str]:
    """Where values are in JSON, for example ``[].files.samples[].epoch``."""
    if isinstance(value, Mapping):
        return {path} | {one for key, inner in value.items() for one in key_paths(inner, f"{path}.{key}")}
    if isinstance(value, list):
        return {path} | {one for inner in value for one in key_paths(inner, f"{path}[]")}
    return {path}


def mark(data: bytes) -> str:
    """A short name for some bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def array_mark(array: np.ndarray) -> str:
    """The same of an array with its shape."""
    return f"{array.dtype} {list(array.shape)} {mark(np.ascontiguousarray(array).tobytes())}"


def processor() -> dict[str, str]:
    """What decides the last bits of a training on one thread: the processor, and the kernels made for it."""
    known = {"torch": torch.__version__, "kernels": torch.backends.cpu.get_cpu_capability()}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines():
            name, _, text = line.partition(":")
            if name.strip() in ("vendor_id", "cpu family", "model", "model name", "stepping"):
                known[name.strip()] = text.strip()
            elif name.strip() == "flags":
                known["flags"] = mark(" ".join(sorted(text.split())).encode())
        return known
    return known | {"model name": platform.processor()}


# What is read from the disk


def pictures_of(run: RunDirectory) -> Json:
    """Sheets and strips by epoch, triangles fitted to them, and the whole way from noise to picture."""
    found: Json = {"samples": {}, "reverse": {}, "triangles": {}, "walk": None}
    for name, sheets in (("samples", run.sample_sheets()), ("reverse", run.reverse_strips())):
        for epoch, path in sheets:
            sheet = read_sheet(path)
            found[name][str(epoch)] = array_mark(sheet.images)
            if name == "samples" and overlay_path(run, epoch).exists():
                found["triangles"][str(epoch)] = msgspec.to_builtins(
                    read_overlay(overlay_path(run, epoch), sheet.images)
                )
    if WALK.path(run).exists():
        walk = Trajectory(WALK.path(run))
        states = range(len(walk.timesteps))
        found["walk"] = {
            "epoch": walk.epoch,
            "timesteps": list(walk.timesteps),
            "shape": list(walk.shape),
            "xt": array_mark(np.stack([walk.xt(index) for index in states])),
            "x0": array_mark(np.stack([walk.x0(index) for index in states])),
        }
    return found


def seen_by_dashboard(house: Path) -> Json:
    """Each run as the dashboard has it."""
    snapshot = RunsReader(house / "runs").poll()
    assert snapshot is not None
    assert not snapshot.problems
    return [
        {
            "id": run.id,
            "state": str(run.state),
            "label": run.label,
            "dataset": run.data_title,
            "group": run.group,
            "steps": run.steps.tolist(),
            "losses": run.losses.tolist(),
            "epochs": [record.epoch for record in run.epochs],
            "heldout": [record.heldout for record in run.epochs],
            "sheets": [epoch for epoch, _ in run.sheets],
            "strips": [epoch for epoch, _ in run.strips],
            "pass_rate": run.pass_rate,
        }
        for run in snapshot.runs
    ]


def recipe_of(house: Path, name: str) -> Json:
    """The settings of each run that a recipe makes."""
    with inside(house):
        found = load_recipe(f"recipes/{name}.toml", ["train.batch_size=4"])
    flat = [flattened(msgspec.to_builtins(config.resolved())) for config in found.configs]
    differ = [key for key in flat[0] if len({str(one[key]) for one in flat}) > 1]
    return {
        "alike": {key: value for key, value in flat[0].items() if key not in differ},
        "differ": [{key: one[key] for key in differ} for one in flat],
    }


def set_folders(house: Path) -> dict[str, str]:
    """Where the sets of the recipes lie that have a name: it has a hash of all that decides their pixels."""
    folder = house / "datasets"
    recipes = [find_data_recipe(name, folder) for name in ("array", "high", "low", "tiny")]
    return {one.name: set_dir(folder, one, fingerprint(one, [])).name for one in recipes}


def arrays_of(folder: Path) -> dict[str, str]:
    """The arrays of a set of pictures."""
    return {path.name: array_mark(np.load(path)) for path in sorted(folder.glob("*.npy"))}


def kept_judgements(house: Path, state: str) -> Json:
    """All that was ever measured of a run."""
    return msgspec.to_builtins(read_evaluations(run_in(house, state)))


JUDGING: Final = ("--count", "12", "--seed", "4", "--device", "cpu")


def judged(house: Path) -> Json:
    """A judgement that is there already: nothing is computed but which one it is."""
    (found,) = told_json(house, "evaluate", run_in(house, "stopped").id, *JUDGING, "--new")
    return found


def judged_anew(house: Path) -> Json:
    """The numbers of a judgement of other samples by all measures, and the names of its curves."""
    run = run_in(house, "stopped").id
    (found,) = told_json(house, "evaluate", run, "--count", "6", "--seed", "1", "--device", "cpu")
    return without(found, "created", "curves") | {"curves": sorted(found["curves"])}


def drawn(house: Path) -> Json:
    """New pictures of a run, and an old one noised and denoised."""
    run = run_in(house, "stopped").id
    picture = f"runs/{run_in(house, 'finished').id}/samples/epoch-0003.png"
    sample = told_json(
        house, "sample", run, "--count", "2", "--seed", "3", "--device", "cpu", "--out", "drawn.npy"
    )
    pictures = np.load(house / "drawn.npy")
    return {
        "sample": sample,
        "pictures": array_mark(pictures),
        "rows": pictures.mean(axis=3).round(6).tolist(),
        "denoise": told_json(
            house, "denoise", run, picture, "--t", "12", "--device", "cpu", "--out", "x.png"
        ),
    }


SCHEDULES: Final = (
    (),
    ("x^7", "sigmoid", "--timesteps", "20"),
    ("linear", "cosine", "x^2", "--zero-terminal-snr"),
    ("sine", "--periods", "2", "--beta-start", "0.001", "--beta-end", "0.05", "--timesteps", "50"),
)


def schedules(house: Path) -> Json:
    """Numbers of noise schedules."""
    return {" ".join(arguments): told_json(house, "schedules", *arguments) for arguments in SCHEDULES}


WRONG: Final = (
    (),
    ("--version",),
    ("--help",),
    ("nonsense",),
    ("runs", "list"),
    ("runs", "list", "--state", "nonsense"),
    ("runs", "show", "nobody"),
    ("runs", "rm", "--all"),
    ("runs", "stop"),
    ("runs", "resume", "--follow", "--no-start", "latest"),
    ("train", "nonsense", "--no-start"),
    ("train", "recipes/lean.toml", "--no-start", "--set", "train.epoch=1"),
    ("data", "make", "nonsense"),
    ("evaluate", "nothing.npy"),
    ("compare", "--by", ","),
    ("schedules", "nonsense"),
    ("sample", "nobody"),
    ("doctor", "--slots", "0"),
)


def exit_codes(house: Path) -> dict[str, int]:
    """What commands end with, right ones and wrong ones."""
    codes = {}
    for arguments in WRONG:
        quiet = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with inside(house), contextlib.redirect_stdout(next(quiet)), contextlib.redirect_stderr(next(quiet)):
            codes[" ".join(("core", *arguments))] = run_command(arguments)
    return codes


def without(table: Json, *keys: str) -> Json:
    """A table without some of its keys."""
    return {key: value for key, value in table.items() if key not in keys}


# What is trained


def tensors_of(run: RunDirectory) -> tuple[dict[str, torch.Tensor], Json]:
    """All that a checkpoint holds, and where it stands but for the clock."""
    tensors, position = read_checkpoint(run)
    return tensors, msgspec.to_builtins(msgspec.structs.replace(position, elapsed=0.0, metrics_offset=0))


def tensor_marks(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Hashes of weights, their mean, the optimizer's state and the generator's."""
    marks: dict[str, str] = {}
    for part in sorted({name.partition(".")[0] for name in tensors}):
        whole = hashlib.sha256()
        for name in sorted(name for name in tensors if name.partition(".")[0] == part):
            value = tensors[name].contiguous()
            whole.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        marks[part] = whole.hexdigest()[:16]
    return marks


def tensor_norms(tensors: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """How large each part of them is, for processors that compute other last bits."""
    parts: dict[str, list[torch.Tensor]] = {}
    for name, value in sorted(tensors.items()):
        if name != "rng":
            parts.setdefault(".".join(name.split(".")[:2]), []).append(value.double().flatten())
    return {part: float(torch.cat(values).norm()) for part, values in parts.items()}


def logged(run: RunDirectory) -> list[Json]:
    """The lines of the metrics without what the clock decides."""
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [without(line, "t", "ips") for line in lines]


def losses_of(run: RunDirectory) -> list[float]:
    """The loss of each step; how many stand in a line is for the clock to decide."""
    return [float(loss) for line in logged(run) for loss in line.get("l", ())]


# What can be asked for


def options_of(command: click.Command, context: click.Context, name: str) -> dict[str, Json]:
    """A command's parameters, and those of the commands in it, by the whole command's name."""
    found: dict[str, Json] = {name: {_called(one): _parameter(one) for one in command.params}}
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            child = command.get_command(context, inner)
            assert child is not None
            inside_it = click.Context(child, info_name=inner, parent=context)
            found |= options_of(child, inside_it, f"{name} {inner}")
    return found


USUAL: Final = {
    "metavar": None,
    "required": False,
    "nargs": 1,
    "multiple": False,
    "type": "text",
    "flag": False,
}
"""What is left out where a parameter is described."""


def _called(parameter: click.Parameter) -> str:
    """What a person knows a parameter by."""
    return (
        " ".join(sorted(parameter.opts))
        if isinstance(parameter, click.Option)
        else parameter.human_readable_name
    )


def _parameter(parameter: click.Parameter) -> Json:
    kind, default = parameter.type, parameter.default
    found: Json = {
        "metavar": parameter.metavar,
        "required": parameter.required,
        "nargs": parameter.nargs,
        "multiple": parameter.multiple,
        "type": kind.name,
        "flag": isinstance(parameter, click.Option) and parameter.is_flag,
    }
    found = {key: value for key, value in found.items() if value != USUAL[key]}
    if isinstance(default, str | int | float | bool | Path) and not isinstance(default, type):
        found["default"] = str(default)
    if isinstance(kind, click.Choice):
        found["choices"] = [str(one) for one in kind.choices]
    if isinstance(kind, click.IntRange | click.FloatRange):
        found["range"] = [kind.min, kind.max]
    return found


def core_options() -> dict[str, Json]:
    """All options of ``core``."""
    return options_of(cli, click.Context(cli, info_name="core"), "core")


def helps() -> dict[str, str]:
    """What ``--help`` says of each command, in as many columns as fit a page."""
    found = {"ddpm-tui": dashboard_options().format_help()}

    def ask(command: click.Command, context: click.Context, name: str) -> None:
        found[name] = command.get_help(context)
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                child = command.get_command(context, inner)
                assert child is not None
                ask(child, _context(child, inner, context), f"{name} {inner}")

    ask(cli, _context(cli, "core"), "core")
    return found


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    settings = {"terminal_width": 100, **(command.context_settings if parent is None else {})}
    return click.Context(command, info_name=name, parent=parent, **settings)


def dashboard_arguments() -> dict[str, Json]:
    """All options of ``ddpm-tui``: their metavar, how many words they take, which, and which unless given."""
    return {
        " ".join(sorted(action.option_strings)) or str(action.metavar): [
            action.metavar,
            action.nargs,
            None if action.choices is None else list(action.choices),
            None if action.default is None else str(action.default),
        ]
        for action in dashboard_options()._actions
    }


def commands() -> dict[str, Json]:
    """Commands of the dashboard: by screen and id, the keys. Actions are internal and may be renamed."""
    found: dict[str, Json] = {}
    for section, those in SECTIONS.items():
        for one in those:
            found.setdefault(section, {})[one.id] = one.keys
    return found


def stored(kind: type) -> dict[str, Json]:
    """The keys of a file with their types, bounds and defaults, by dotted name; names of classes do not count."""
    schema = msgspec.json.schema(kind)
    return dict(_leaves(schema, schema.get("$defs", {}), ""))


def all_stored() -> dict[str, Json]:
    """The same of all files; the settings of a run, which two of them have, once."""
    found = {name: stored(kind) for name, kind in STORED.items()}
    found["settings of a run"] = stored(RunConfig)
    settings = found["settings of a run"]
    for name, prefix in (("recipe.toml", ""), ("run.toml", "config.")):
        for key, value in settings.items():
            assert found[name].pop(prefix + key) == value, f"{name}: {prefix}{key}"
    return found


def _leaves(schema: Json, named: Json, path: str) -> Iterator[tuple[str, Json]]:
    if "$ref" in schema:
        yield from _leaves(named[schema["$ref"].rpartition("/")[2]], named, path)
        return
    if "properties" in schema:
        for key, inner in schema["properties"].items():
            yield from _leaves(inner, named, f"{path}.{key}" if path else key)
        return
    yield path, _without_prose(schema, named)


def _without_prose(schema: Json, named: Json) -> Json:
    if isinstance(schema, list):
        return [_without_prose(one, named) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _without_prose(named[schema["$ref"].rpartition("/")[2]], named)
    kept = {key: value for key, value in schema.items() if key not in ("title", "description", "$defs")}
    return {key: _without_prose(value, named) for key, value in kept.items()}


def defaults() -> dict[str, Json]:
    """Each setting of a run, with what it is unless asked for."""
    return flattened(msgspec.to_builtins(RunConfig()))


def flattened(table: Mapping[str, Json], path: str = "") -> dict[str, Json]:
    """Settings by dotted names."""
    found: dict[str, Json] = {}
    for key, value in table.items():
        found |= flattened(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return found


# What a person has chosen


def places(house: Path) -> tuple[Path, Path]:
    """The folder of the settings, and the file of the keys."""
    home = {"XDG_STATE_HOME": str(house / "home/state"), "XDG_CONFIG_HOME": str(house / "home/config")}
    with patch.dict(os.environ, home):
        return state_dir(), keys_path()


def usual_places() -> list[str]:
    """Where both are for somebody who has chosen no other folders."""
    with patch.dict(os.environ, {"HOME": "/home/me"}, clear=True):
        return [str(state_dir()), str(keys_path())]


def chosen(house: Path) -> Json:
    """Settings, keys, folders, and what is wrong in the files."""
    state, keys = places(house)
    settings, troubles = read_settings(state)
    keymap = read_keymap(keys)
    return {
        "places": usual_places(),
        "settings": {
            name: getattr(settings, name) for name in ("theme", "pictures", "zoom", "bell", "refresh")
        },
        "troubles": [one.replace(str(house), "HOUSE") for one in troubles],
        "folders": read_folders(state),
        "keymap": keymap,
        "keys": {
            command.id: list(keys_of_command(command, keymap)) for command in ALL if command.id in keymap
        },
    }


def choose_otherwise(house: Path) -> tuple[bytes, bytes]:
    """Change settings and keys as the dashboard does; both files afterwards."""
    state, keys = places(house)
    before, _ = read_settings(state)
    after = replace(before, theme="light", pictures="kitty", zoom=1, refresh=2.0)
    assert write_settings(state, before, after) == ""
    set_value(state / "settings.toml", "bell", None)
    changes: dict[str, Iterable[str] | None] = {
        "run.stop": ["x", "escape"],
        "board.schedules": ["S"],
        "compare.left": None,
        "denoise.play": ["space"],
        "denoise.faster": ["plus", "f9"],
        "app.help": ["f1"],
    }
    assert save_keys(keys, changes) == ""  # type: ignore[arg-type]  # lists
    return (state / "settings.toml").read_bytes(), keys.read_bytes()


def refusal_of_keys(house: Path, text: str) -> str:
    """What is said of other keys, before the dashboard starts."""
    _, keys = places(house)
    keys.write_text(text, encoding="utf-8")
    try:
        read_keymap(keys)
    except UserError as error:
        return str(error).replace(str(house), "HOUSE")
    return ""


# Comparing


SENTENCES = re.compile(r"\.(notes\[\d+\]|diagnosis)$")
"""Paths in JSON of sentences for users, whose words may improve; their numbers, paths and ids are compared."""


def differences(found: Json, wanted: Json, path: str = "", *, relative: float = 1e-9) -> list[str]:
    """Where JSON is another one than it was. Keys may be added, as docs/cli.md says; none may go, or change."""
    if SENTENCES.search(path) and isinstance(found, str) and isinstance(wanted, str):
        found, wanted = numbers_in(found), numbers_in(wanted)
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        gone = [f"{path}.{key}: is gone" for key in wanted if key not in found]
        both = (key for key in wanted if key in found)
        return gone + [
            line
            for key in both
            for line in differences(found[key], wanted[key], f"{path}.{key}", relative=relative)
        ]
    if isinstance(wanted, list) and isinstance(found, list | tuple) and len(wanted) == len(found):
        return [
            line
            for place, (one, other) in enumerate(zip(found, wanted, strict=True))
            for line in differences(one, other, f"{path}[{place}]", relative=relative)
        ]
    if (
        isinstance(wanted, float)
        and isinstance(found, int | float)
        and abs(found - wanted) <= relative * abs(wanted) + 1e-300
    ):
        return []
    same = found == wanted and isinstance(found, bool) == isinstance(wanted, bool)
    return [] if same else [f"{path}: was {wanted!r}, is {found!r}"]


def same_processor() -> bool:
    """Whether trainings here give the bits that were written down."""
    return bool(processor() == expected("end.json")["processor"])


def numbers_in(text: str) -> list[str]:
    """Numbers, paths and ids of a text, in their order; the words around them may become better ones."""
    return re.findall(r"[^\s,;()]*\d[^\s,;()]*", text)
