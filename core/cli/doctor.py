"""`core doctor`: the machine, the devices that will be used and why, and what is broken."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from core.cli.images import color_mode
from core.cli.options import device_option, json_option, runs_option, slots_option
from core.cli.output import emit, emit_json
from core.data import default_data_dir
from core.errors import UserError
from core.files.lock_probe import probe_locks
from core.launch.devices import Machine, Plan, detect_machine, make_plan, plan_explanation
from core.launch.subprocess_env import child_environment, python_command
from core.training.compiler import compile_problem, find_compiler

PACKAGES = (
    *("ddpm-tui", "torch", "numpy", "pillow", "safetensors", "textual", "rich"),
    *("msgspec", "tomli", "tomli-w", "click", "psutil"),
)
MIN_TERMINAL = (80, 24)
LOW_SPACE = 1 << 30
DEEP_TIMEOUT = 120

_PROBE = """
import json, torch
from core.training.precision import bf16_is_fast, bf16_speedup, has_bf16
cpu = torch.device("cpu")
kinds = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
def works(kind):
    try:
        x = torch.ones(64, 64, device=kind)
        return float((x @ x).sum()) == 64**3
    except RuntimeError:
        return False
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": names,
                  "works_on": [kind for kind in kinds if works(kind)],
                  "cpu_bf16_speedup": round(bf16_speedup(), 2) if has_bf16(cpu) else None,
                  "cpu_precision": "bf16" if bf16_is_fast(cpu) else "fp32"}))
"""


@click.command("doctor")
@click.option(
    "--deep", is_flag=True, help="Also import torch and compute on each kind of device; takes seconds."
)
@runs_option
@device_option
@slots_option
@json_option
def command(deep: bool, root: Path, device: str, slots: int | None, as_json: bool) -> None:
    """Show what this machine has, what will be used, and why.

    Exits with code 2 if something is broken, so that a script can check before it queues runs.
    """
    machine = detect_machine(fresh=deep)
    plan = make_plan(device, slots, machine=machine)
    packages = {name: _package_version(name) for name in PACKAGES}
    folders = [_folder_report("runs", root), _folder_report("datasets", default_data_dir())]
    locks, lock_problem = probe_locks(root) if folders[0]["exists"] and folders[0]["writable"] else (None, "")
    torch = _probe_torch() if deep else None
    problems = [*_problems(packages, folders, torch), *_gpu_problems(machine, plan)]
    problems += [lock_problem] if lock_problem else []
    kind = plan.devices[0].kind
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": machine.cores,
        "devices": [dataclasses.asdict(found) for found in machine.devices],
        "uses": {"devices": [found.name for found in plan.devices], "runs_at_once": plan.capacity},
        "reasons": plan_explanation(device, slots, machine=machine),
        "packages": packages,
        "compiler": find_compiler(),
        "compile_problem": compile_problem(kind),
        "terminal": _terminal_report(),
        "folders": folders,
        "locks": locks,
        "torch": torch,
        "problems": problems,
    }
    if as_json:
        emit_json(report)
    else:
        emit(_report_text(report))
    if problems:
        raise UserError("; ".join(problems))


def _package_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _folder_report(purpose: str, path: Path) -> dict[str, Any]:
    """Check, without writing, that a folder can be written or made, and report the free space."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return {
        "purpose": purpose,
        "path": str(path),
        "exists": path.exists(),
        "writable": existing.is_dir() and os.access(existing, os.W_OK | os.X_OK),
        "free_bytes": shutil.disk_usage(existing).free,
    }


def _terminal_report() -> dict[str, Any]:
    size = shutil.get_terminal_size()
    return {
        "is_terminal": sys.stdout.isatty(),
        "columns": size.columns,
        "rows": size.lines,
        "term": os.environ.get("TERM", ""),
        "pictures": color_mode(),
        "encoding": sys.stdout.encoding,
        "no_color": bool(os.environ.get("NO_COLOR")),
        "multiplexer": "tmux" if os.environ.get("TMUX") else "screen" if os.environ.get("STY") else None,
    }


def _probe_torch() -> dict[str, Any]:
    """Import torch and compute with it in a subprocess, because a broken driver may crash the process."""
    try:
        done = subprocess.run(
            python_command("-c", _PROBE),
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=DEEP_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"torch did not answer within {DEEP_TIMEOUT} s"}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _problems(
    packages: Mapping[str, str | None], folders: Sequence[Mapping[str, Any]], torch: Mapping[str, Any] | None
) -> list[str]:
    problems = [
        f"{name} is not installed" for name, found in packages.items() if found is None and name != "ddpm-tui"
    ]
    problems += [f"{folder['path']} cannot be written" for folder in folders if not folder["writable"]]
    if torch and "error" in torch:
        problems.append(f"torch does not work ({torch['error']})")
    return problems


def _gpu_problems(machine: Machine, plan: Plan) -> list[str]:
    """Return the problems with GPUs, unless the user asked for another kind of device."""
    return [text.rstrip(".") for text in machine.problems] if plan.note else []


def _report_text(report: Mapping[str, Any]) -> str:
    terminal, compiler, missing = report["terminal"], report["compiler"], report["compile_problem"]
    lines = ["Machine", f"  {report['platform']}, Python {report['python']} ({report['executable']})"]
    lines += [f"  {reason}" for reason in report["reasons"]]
    lines += ["", "Packages"]
    lines += [f"  {name:<12} {found or 'missing'}" for name, found in report["packages"].items()]
    compiles = f"train.compile is left out: {missing}" if missing else "torch.compile can be used"
    lines += [f"  {'C++ compiler':<12} {compiler or 'none'}; {compiles}"]
    if report["torch"] and "error" not in report["torch"]:
        lines += [f"  torch computes on {', '.join(report['torch']['works_on'])}"]
        lines += [f"  {_precision_text(report['torch'])}"]
    lines += ["", "Terminal", *(f"  {line}" for line in _terminal_lines(terminal)), "", "Folders"]
    for folder in report["folders"]:
        can = "can be written" if folder["writable"] else "CANNOT be written"
        little = ": low on space" if folder["free_bytes"] < LOW_SPACE else ""
        made = "" if folder["exists"] else ", will be made"
        lines.append(f"  {folder['path']}: {can}{made}; {folder['free_bytes'] / 2**30:.1f} GiB free{little}")
    lines += [f"  locks: {report['locks']}"] if report["locks"] else []
    return "\n".join(lines)


def _precision_text(torch: Mapping[str, Any]) -> str:
    speedup, chosen = torch["cpu_bf16_speedup"], torch["cpu_precision"]
    reason = (
        "it has no instructions for bf16" if speedup is None else f"bf16 is {speedup:g} times as fast as fp32"
    )
    return f"train.precision auto is {chosen} on the CPU: {reason}"


def _terminal_lines(terminal: Mapping[str, Any]) -> list[str]:
    if not terminal["is_terminal"]:
        return ["stdout is not a terminal: images are drawn with letters, tables are not wrapped"]
    columns, rows = MIN_TERMINAL
    small = terminal["columns"] < columns or terminal["rows"] < rows
    lines = [
        f"{terminal['columns']} x {terminal['rows']}"
        + (f": the dashboard needs {columns} x {rows}" if small else ""),
        f"TERM={terminal['term']}, {terminal['encoding']}, images in {terminal['pictures']}"
        + (" because NO_COLOR is set" if terminal["no_color"] else ""),
    ]
    if terminal["multiplexer"]:
        lines.append(f"inside {terminal['multiplexer']}")
    return lines
