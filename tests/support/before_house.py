"""Fixtures of the version before the restructuring, and the functions through which tests read them.

`tests/fixtures/before-house/make.py` wrote `tests/fixtures/before-house/expected` once, at `COMMIT`.
`tests/cli/test_before_house.py` runs the current version on the same files and compares. All imports from the program
are here and in `before_house_interface.py`, so that tests and fixtures do not depend on the names of modules.
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch

from core.cli.main import run as run_command
from core.data.cache import fingerprint, set_dir
from core.data.recipe import find_data_recipe
from core.imaging import read_sheet
from core.recipes.load import load_recipe
from core.runs import RunDirectory
from core.runs.overlay import overlay_path, read_overlay
from core.runs.results import read_evaluations
from core.runs.trajectory import Trajectory, TrajectorySpec
from core.training.checkpoint import read_checkpoint
from tui.state.reader import RunsReader

COMMIT: Final = "6c0e099"
HOUSE: Final = Path(__file__).parents[1] / "fixtures" / "before-house"
EXPECTED: Final = HOUSE / "expected"
STATES: Final = ("finished", "stopped", "queued")
"""There is one run in each state, which identifies it."""
TRAJECTORY: Final = TrajectorySpec("ddim", 5)

Json = Any


def copy_house(folder: Path) -> Path:
    """Copy the fixtures for a test, because readers may write lock files and training writes runs."""
    house = Path(shutil.copytree(HOUSE, folder / "house"))
    for packed in house.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    return house


def pack(path: Path) -> None:
    """Compress a file; `copy_house` unpacks it."""
    # In arrays of 4-byte numbers, bytes at the same offset are similar.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 2, "pb": 2}]
    path.with_name(f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes(), filters=filters))
    path.unlink()


def expected(name: str) -> Json:
    """Read an expected result."""
    return json.loads((EXPECTED / name).read_text(encoding="utf-8"))


@contextlib.contextmanager
def inside(house: Path) -> Iterator[None]:
    """Change to the copied fixtures and their data folder, for commands that run in this process."""
    before = os.environ.get("DDPM_DATA")
    os.environ["DDPM_DATA"] = str(house / "datasets")
    try:
        with contextlib.chdir(house):
            yield
    finally:
        os.environ.pop("DDPM_DATA")
        if before is not None:
            os.environ["DDPM_DATA"] = before


def core_stdout(house: Path, *arguments: str) -> str:
    """Run a command of ``core`` and return its stdout."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with inside(house), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run_command(arguments)
    assert code == 0, f"core {' '.join(arguments)}: {code}: {errors.buffer.getvalue().decode()}"  # type: ignore[attr-defined]  # a BytesIO
    return out.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]  # likewise


def core_json(house: Path, *arguments: str) -> Json:
    """Run a command with ``--json`` and decode its stdout, with the path of the copy replaced by HOUSE."""
    return json.loads(core_stdout(house, *arguments, "--json").replace(str(house), "HOUSE"))


def run_in(house: Path, state: str) -> RunDirectory:
    """Return the run in this state."""
    for folder in sorted((house / "runs").iterdir()):
        status = folder / "status.json"
        if status.exists() and json.loads(status.read_text(encoding="utf-8"))["state"] == state:
            return RunDirectory(folder)
    raise AssertionError(f"no run is {state}")


def files_of(folder: Path) -> list[str]:
    """List all files of a run except locks and logs."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.startswith(".") and name != "worker.log")


def key_paths(value: Json, path: str = "") -> set[str]:
    """Return the paths of all values in JSON, for example ``[].files.samples[].epoch``."""
    if isinstance(value, Mapping):
        return {path} | {one for key, inner in value.items() for one in key_paths(inner, f"{path}.{key}")}
    if isinstance(value, list):
        return {path} | {one for inner in value for one in key_paths(inner, f"{path}[]")}
    return {path}


def digest(data: bytes) -> str:
    """Return a short hash of bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def array_digest(array: np.ndarray) -> str:
    """Return dtype, shape and a short hash of an array."""
    return f"{array.dtype} {list(array.shape)} {digest(np.ascontiguousarray(array).tobytes())}"


def processor() -> dict[str, str]:
    """Describe what determines the last bits of a training on one thread: the processor and the kernels for it."""
    known = {"torch": torch.__version__, "kernels": torch.backends.cpu.get_cpu_capability()}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines():
            name, _, text = line.partition(":")
            if name.strip() in ("vendor_id", "cpu family", "model", "model name", "stepping"):
                known[name.strip()] = text.strip()
            elif name.strip() == "flags":
                known["flags"] = digest(" ".join(sorted(text.split())).encode())
        return known
    return known | {"model name": platform.processor()}


# Reading from disk


def images_of(run: RunDirectory) -> Json:
    """Return sheets and strips by epoch, the triangles fitted to them, and the saved trajectory."""
    found: Json = {"samples": {}, "reverse": {}, "triangles": {}, "walk": None}
    for name, sheets in (("samples", run.sample_sheets()), ("reverse", run.reverse_strips())):
        for epoch, path in sheets:
            sheet = read_sheet(path)
            found[name][str(epoch)] = array_digest(sheet.images)
            if name == "samples" and overlay_path(run, epoch).exists():
                found["triangles"][str(epoch)] = msgspec.to_builtins(
                    read_overlay(overlay_path(run, epoch), sheet.images)
                )
    if TRAJECTORY.path(run).exists():
        trajectory = Trajectory(TRAJECTORY.path(run))
        states = range(len(trajectory.timesteps))
        found["walk"] = {
            "epoch": trajectory.epoch,
            "timesteps": list(trajectory.timesteps),
            "shape": list(trajectory.shape),
            "xt": array_digest(np.stack([trajectory.xt(index) for index in states])),
            "x0": array_digest(np.stack([trajectory.x0(index) for index in states])),
        }
    return found


def dashboard_runs(house: Path) -> Json:
    """Return each run as the dashboard reads it."""
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


def recipe_runs(house: Path, name: str) -> Json:
    """Return the settings of each run that a recipe makes."""
    with inside(house):
        found = load_recipe(f"recipes/{name}.toml", ["train.batch_size=4"])
    flat = [flattened(msgspec.to_builtins(config.resolved())) for config in found.configs]
    differ = [key for key in flat[0] if len({str(one[key]) for one in flat}) > 1]
    return {
        "alike": {key: value for key, value in flat[0].items() if key not in differ},
        "differ": [{key: one[key] for key in differ} for one in flat],
    }


def dataset_folders(house: Path) -> dict[str, str]:
    """Return the folder of each named recipe's data set, whose name has a hash of all that determines the pixels."""
    folder = house / "datasets"
    recipes = [find_data_recipe(name, folder) for name in ("array", "high", "low", "tiny")]
    return {one.name: set_dir(folder, one, fingerprint(one, [])).name for one in recipes}


def array_digests(folder: Path) -> dict[str, str]:
    """Hash the arrays of a data set."""
    return {path.name: array_digest(np.load(path)) for path in sorted(folder.glob("*.npy"))}


def stored_evaluations(house: Path, state: str) -> Json:
    """Return all stored evaluations of a run."""
    return msgspec.to_builtins(read_evaluations(run_in(house, state)))


EVALUATION_OPTIONS: Final = ("--count", "12", "--seed", "4", "--device", "cpu")


def repeated_evaluation(house: Path) -> Json:
    """Ask for an evaluation that exists already, so that nothing is computed."""
    (found,) = core_json(house, "evaluate", run_in(house, "stopped").id, *EVALUATION_OPTIONS, "--new")
    return found


def new_evaluation(house: Path) -> Json:
    """Evaluate other samples by all metrics; return the numbers, and the names of the curves."""
    run = run_in(house, "stopped").id
    (found,) = core_json(house, "evaluate", run, "--count", "6", "--seed", "1", "--device", "cpu")
    return without(found, "created", "curves") | {"curves": sorted(found["curves"])}


def sampled_and_denoised(house: Path) -> Json:
    """Draw new images of a run, and noise and denoise an existing one."""
    run = run_in(house, "stopped").id
    image = f"runs/{run_in(house, 'finished').id}/samples/epoch-0003.png"
    sample = core_json(
        house, "sample", run, "--count", "2", "--seed", "3", "--device", "cpu", "--out", "drawn.npy"
    )
    images = np.load(house / "drawn.npy")
    return {
        "sample": sample,
        "pictures": array_digest(images),
        "rows": images.mean(axis=3).round(6).tolist(),
        "denoise": core_json(house, "denoise", run, image, "--t", "12", "--device", "cpu", "--out", "x.png"),
    }


SCHEDULES: Final = (
    (),
    ("x^7", "sigmoid", "--timesteps", "20"),
    ("linear", "cosine", "x^2", "--zero-terminal-snr"),
    ("sine", "--periods", "2", "--beta-start", "0.001", "--beta-end", "0.05", "--timesteps", "50"),
)


def schedules(house: Path) -> Json:
    """Return the numbers of noise schedules."""
    return {" ".join(arguments): core_json(house, "schedules", *arguments) for arguments in SCHEDULES}


EXIT_CODE_COMMANDS: Final = (
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
    """Return the exit codes of valid and invalid commands."""
    codes = {}
    for arguments in EXIT_CODE_COMMANDS:
        quiet = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with inside(house), contextlib.redirect_stdout(next(quiet)), contextlib.redirect_stderr(next(quiet)):
            codes[" ".join(("core", *arguments))] = run_command(arguments)
    return codes


def without(table: Json, *keys: str) -> Json:
    """Return a table without some of its keys."""
    return {key: value for key, value in table.items() if key not in keys}


# Training


def checkpoint_contents(run: RunDirectory) -> tuple[dict[str, torch.Tensor], Json]:
    """Read a checkpoint's tensors, and its position without the values that depend on the clock."""
    tensors, position = read_checkpoint(run)
    return tensors, msgspec.to_builtins(msgspec.structs.replace(position, elapsed=0.0, metrics_offset=0))


def tensor_digests(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Hash the weights, their mean, and the states of optimizer and generator."""
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
    """Return the norm of each part, for processors whose results differ in the last bits."""
    parts: dict[str, list[torch.Tensor]] = {}
    for name, value in sorted(tensors.items()):
        if name != "rng":
            parts.setdefault(".".join(name.split(".")[:2]), []).append(value.double().flatten())
    return {part: float(torch.cat(values).norm()) for part, values in parts.items()}


def logged_lines(run: RunDirectory) -> list[Json]:
    """Return the lines of the metrics without the values that depend on the clock."""
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [without(line, "t", "ips") for line in lines]


def step_losses(run: RunDirectory) -> list[float]:
    """Return the loss of each step; the number of losses per line depends on the clock."""
    return [float(loss) for line in logged_lines(run) for loss in line.get("l", ())]


def flattened(table: Mapping[str, Json], path: str = "") -> dict[str, Json]:
    """Flatten settings to dotted names."""
    found: dict[str, Json] = {}
    for key, value in table.items():
        found |= flattened(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return found


# Comparison


SENTENCES = re.compile(r"\.(notes\[\d+\]|diagnosis)$")
"""Paths in JSON of sentences for users, whose words may improve; their numbers, paths and ids are compared."""


def differences(found: Json, wanted: Json, path: str = "", *, relative: float = 1e-9) -> list[str]:
    """List the differences between JSON values. Keys may be added, as docs/cli.md says, but none removed or changed."""
    if SENTENCES.search(path) and isinstance(found, str) and isinstance(wanted, str):
        found, wanted = numbers_in(found), numbers_in(wanted)
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        gone = [f"{path}.{key}: is missing" for key in wanted if key not in found]
        both = (key for key in wanted if key in found)
        return gone + [
            line
            for key in both
            for line in differences(found[key], wanted[key], f"{path}.{key}", relative=relative)
        ]
    if isinstance(wanted, list) and isinstance(found, list | tuple) and len(wanted) == len(found):
        return [
            line
            for index, (one, other) in enumerate(zip(found, wanted, strict=True))
            for line in differences(one, other, f"{path}[{index}]", relative=relative)
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
    """Return whether training on this machine gives the expected bits."""
    return bool(processor() == expected("end.json")["processor"])


def numbers_in(text: str) -> list[str]:
    """Return numbers, paths and ids of a text in order, because the words around them may change."""
    return re.findall(r"[^\s,;()]*\d[^\s,;()]*", text)
