"""The engine `slurm` with programs that stand in for Slurm's; tests/slurm has the real ones."""

from pathlib import Path

import msgspec
import pytest

from core.cli.main import run as core
from core.config import RunConfig
from core.config.launch import LaunchConfig, SlurmConfig
from core.errors import UserError
from core.launch import control
from core.launch.engines import start as engines
from core.launch.engines.settings import clone_settings, launch_settings, user_file
from core.launch.engines.slurm_script import batch_script
from core.recipes import load_recipe
from core.runs import RunDirectory, RunStore, State
from core.runs.copies import Copy, write_copy
from tests.support import fake_slurm
from tui.state.run_controller import RunController


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = fake_slurm.install(tmp_path / "cluster")
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path}/cluster/bin:/usr/bin:/bin")
    return home


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def train(seeds: int, *words: str) -> int:
    return core(
        ["train", "quick", "--set", "schedule.name=linear", "--set", f"train.seed={[*range(seeds)]}", *words]
    )


def runs() -> list[RunDirectory]:
    return RunStore("runs").runs()


def jobs_of(found: list[RunDirectory]) -> list[str]:
    return [run.read_status().job for run in found]


def jobs(slurm: Path) -> list[str]:
    return [line.partition("|")[0] for line in (slurm / "jobs").read_text().splitlines()]


def set_job(slurm: Path, job: str, state: str, reason: str = "None") -> None:
    lines = (slurm / "jobs").read_text().splitlines()
    kept = [line for line in lines if line.partition("|")[0] != job]
    (slurm / "jobs").write_text(
        "".join(f"{line}\n" for line in [*kept, *([f"{job}|{state}|{reason}"] if state else [])])
    )


def test_a_grid_is_submitted_in_arrays_that_the_cluster_allows_and_no_local_runner_starts_it(
    slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(15, "--launch", "slurm") == 0
    found = runs()
    assert jobs_of(found) == [
        *(f"4711_{index}" for index in range(11)),
        *(f"4712_{index}" for index in range(4)),
    ]
    assert {(run.read_status().engine, run.read_status().state) for run in found} == {("slurm", State.QUEUED)}
    assert "slurm 4711, 4712: 15 runs submitted" in capsys.readouterr().err
    assert not Path("runs/.queue.lock").exists()
    assert engines.start(found[:1]) == [f"{found[0].id}: waits in slurm already, as 4711_0"]
    assert len(jobs(slurm)) == 15


def test_the_list_names_the_job_of_each_waiting_run_and_why_it_waits(
    slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(4, "--launch", "slurm")
    set_job(slurm, "4711_1", "RUNNING")
    set_job(slurm, "4711_2", "")
    calls = len((slurm / "calls").read_text().splitlines())
    capsys.readouterr()
    assert core(["runs", "list"]) == 0
    listed = capsys.readouterr().out
    for text in (
        "4711_0: Priority",
        "4711_1: starting",
        "4711_2: not in its queue; resume it",
        "4711_3: Priority",
    ):
        assert f"queued (slurm {text})" in listed
    assert len((slurm / "calls").read_text().splitlines()) == calls + 1, "one squeue for all runs"
    core(["runs", "list", "--json"])
    rows = msgspec.json.decode(capsys.readouterr().out)
    assert next((row["engine"], row["job"], row["queue"]) for row in rows) == (
        "slurm",
        "4711_0",
        "slurm 4711_0: Priority",
    )


def test_a_silent_slurm_leaves_the_list_as_it_is(
    slurm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(1, "--launch", "slurm")
    (tmp_path / "cluster/bin/squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Socket timed out' >&2; exit 1\n"
    )
    capsys.readouterr()
    assert core(["runs", "list"]) == 0
    listed = capsys.readouterr()
    assert "queued (slurm 4711_0)" in listed.out
    assert "squeue: Socket timed out" in listed.err


def test_a_stop_cancels_what_waits_and_signals_what_runs(slurm: Path) -> None:
    train(3, "--launch", "slurm")
    first, second, third = runs()
    set_job(slurm, "4711_1", "RUNNING")
    engines.stop([first, second])
    assert jobs(slurm) == ["4711_2", "4711_1"]
    calls = (slurm / "calls").read_text().splitlines()
    assert "scancel --state=RUNNING --batch --signal=TERM 4711_0 4711_1" in calls
    assert [run.read_status().state for run in (first, second, third)] == [
        State.STOPPED,
        State.STOPPED,
        State.QUEUED,
    ]


def test_a_job_that_several_runs_share_goes_on_for_those_that_are_not_stopped(slurm: Path) -> None:
    train(4, "--launch", "slurm", "--set", "launch.slurm.runs_per_job=2")
    found = runs()
    assert jobs_of(found) == ["4711_0", "4711_0", "4711_1", "4711_1"]
    engines.stop(found[1:])
    assert jobs(slurm) == ["4711_0"]


def test_a_run_that_left_the_queue_is_submitted_again_by_resume(slurm: Path) -> None:
    train(1, "--launch", "slurm", "--set", "launch.slurm.partition='gpu'")
    (run,) = runs()
    set_job(slurm, "4711_0", "")
    assert core(["runs", "resume", run.id]) == 0
    assert jobs_of([run]) == ["4711_0"]  # the stand-in counts from its last job
    scripts = sorted(Path("runs/.slurm").glob("*/job.sh"))
    assert len(scripts) == 2
    assert all("--partition=gpu" in script.read_text() for script in scripts), "resumed with other settings"


def test_a_run_can_be_handed_to_another_engine_while_it_waits_in_none(slurm: Path) -> None:
    assert train(1, "--no-start") == 0
    (run,) = runs()
    assert core(["runs", "start", run.id, "--launch", "slurm"]) == 0
    assert (run.read_status().engine, run.read_status().job) == ("slurm", "4711_0")
    with pytest.raises(UserError, match="waits in slurm as 4711_0; stop it first"):
        engines.assign(run, LaunchConfig())


def test_slurms_refusal_is_one_line_and_the_runs_can_be_started_later(
    slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (slurm / "refuse").write_text(
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    assert train(2, "--launch", "slurm") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert errors == [
        "error: sbatch: invalid partition specified: nope; "
        "Batch job submission failed: Invalid partition name specified"
    ]
    (slurm / "refuse").unlink()
    assert core(["runs", "start", "--all"]) == 0
    assert jobs_of(runs()) == ["4711_0", "4711_1"]


def test_a_machine_without_slurm_says_so_before_anything_is_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert train(1, "--launch", "slurm") == 2
    assert "sbatch: not found; run this where Slurm's commands are" in capsys.readouterr().err
    assert not runs()


def test_a_dry_run_shows_the_script_and_queues_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert train(3, "--launch", "slurm", "--dry-run", "--set", "launch.slurm.array_parallelism=2") == 0
    script = capsys.readouterr().out
    assert "#SBATCH --array=0-2%2\n" in script
    assert "#SBATCH --signal=B:TERM@120\n" in script
    assert not Path("runs").exists()
    assert train(1, "--dry-run") == 0
    assert capsys.readouterr().out.startswith('recipe = "quick"\n')
    assert not Path("runs").exists()


def test_the_script_asks_for_everything_that_is_set_and_quotes_it() -> None:
    config = SlurmConfig(
        partition="gpu",
        account="x",
        qos="y",
        gpus_per_node=1,
        cpus_per_task=4,
        mem_gb=1.5,
        setup=("module load cuda",),
        additional_parameters={
            "constraint": "a100|h100",
            "comment": "two words",
            "exclusive": True,
            "spread": False,
        },
    )
    script = batch_script(config, name="a b", jobs=1, root=Path("/data/my runs"), folder=".slurm/1")
    for option in (
        "partition=gpu",
        "account=x",
        "qos=y",
        "gpus-per-node=1",
        "cpus-per-task=4",
        "mem=1536M",
        "requeue",
    ):
        assert f"#SBATCH --{option}\n" in script
    for option in ("constraint=a100|h100", 'comment="two words"', "exclusive", "job-name=a-b", "time=240"):
        assert f"#SBATCH --{option}\n" in script
    assert "spread" not in script
    assert "\nmodule load cuda\n" in script
    assert "'/data/my runs/.slurm/1'" in script
    assert script.index("#SBATCH --time") < script.index("module load") < script.index("exec ")


def test_settings_come_from_the_users_file_then_the_recipe_then_the_command_line(tmp_path: Path) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text('[launch]\nengine = "slurm"\n[launch.slurm]\npartition = "own"\naccount = "me"\n')
    recipe = {"slurm": {"partition": "recipe"}}
    found = launch_settings(recipe)
    assert (found.engine, found.slurm.partition, found.slurm.account) == ("slurm", "recipe", "me")
    assert launch_settings(recipe, "local").engine == "local"
    Path("own.toml").write_text('extends = "quick"\n[launch.slurm]\npartiton = "gpu"\n')
    with pytest.raises(
        UserError, match=r"launch\.slurm\.partiton .* did you mean launch\.slurm\.partition\?"
    ):
        load_recipe("own.toml")
    with pytest.raises(UserError, match="--launch slrum: no such engine; did you mean slurm"):
        launch_settings({}, "slrum")


def test_a_clone_is_started_by_the_engine_of_its_run_unless_another_is_given(
    slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(1, "--launch", "slurm", "--set", "launch.slurm.partition='gpu'")
    (old,) = runs()
    assert core(["runs", "clone", old.id]) == 0
    clone = runs()[-1]
    assert (clone.read_status().engine, clone.read_status().job) == ("slurm", "4712_0")
    assert "--partition=gpu" in sorted(Path("runs/.slurm").glob("*/job.sh"))[-1].read_text()
    assert core(["runs", "clone", old.id, "--slots", "1"]) == 2
    assert "--device and --slots are for the local queue" in capsys.readouterr().err
    assert core(["runs", "clone", old.id, "--launch", "elsewhere"]) == 2
    assert len(runs()) == 2
    assert control.clone("runs", old, launch=LaunchConfig()).read_status().engine == "local"
    write_copy(old.path, Copy(source="cluster:/runs"))
    assert clone_settings(old) == LaunchConfig(), "the engine of another host's run is not here"


def test_the_dashboard_queues_as_the_users_file_says_and_clones_as_the_run_says(slurm: Path) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text('[launch]\nengine = "slurm"\n')
    controller = RunController(Path("runs").absolute())
    configs = [RunConfig()]
    (first,) = controller.queue(configs, "own")
    assert first.read_status().job == "4711_0"
    user_file().unlink()
    (second,) = controller.queue(configs, "own", clone_of=first)
    assert second.read_status().job == "4712_0"
    (slurm.parent / "bin/sbatch").unlink()
    with pytest.raises(UserError, match="sbatch: not found"):
        controller.queue(configs, "own", {"engine": "slurm"})
    assert len(runs()) == 2


def test_rubbish_of_squeue_is_no_news_of_jobs_so_nothing_is_submitted_twice(
    slurm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(2, "--launch", "slurm")
    (tmp_path / "cluster/bin/squeue").write_text("#!/bin/sh\necho '<html>\033[31mbusy</html>'\n")
    capsys.readouterr()
    assert core(["runs", "list"]) == 0
    listed = capsys.readouterr()
    assert "not in its queue" not in listed.out
    assert "squeue: expected jobs, got '<html>" in listed.err
    assert core(["runs", "start", "--all"]) == 2
    assert jobs_of(runs()) == jobs(slurm) == ["4711_0", "4711_1"]


def test_a_refusal_halfway_cancels_the_arrays_before_it_or_says_what_to_cancel(
    slurm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (slurm / "max_array").write_text("1")
    program = tmp_path / "cluster/bin/sbatch"
    accept = program.read_text()
    once = tmp_path / "once"
    program.write_text(
        f"#!/bin/sh\nif [ -e {once} ]; then echo 'sbatch: error: limit reached' >&2; exit 1; fi\n"
        f"touch {once}\n{accept.partition(chr(10))[2]}"
    )
    assert train(2, "--launch", "slurm") == 2
    assert "error: sbatch: limit reached\n" in capsys.readouterr().err
    assert jobs(slurm) == []
    once.unlink()
    (tmp_path / "cluster/bin/scancel").write_text("#!/bin/sh\necho 'scancel: error: timed out' >&2; exit 1\n")
    assert core(["runs", "start", "--all"]) == 2
    assert (
        "error: sbatch: limit reached; cancel what was submitted by: scancel 4711 (scancel: timed out)"
        in capsys.readouterr().err
    )


def test_a_disk_that_is_full_when_jobs_are_noted_loses_no_submission(
    slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(1, "--no-start", "--launch", "slurm")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_status", full)
        assert engines.start(runs()) == ["slurm 4711: 1 run submitted"]
    assert jobs_of(runs()) == [""]
    assert jobs(slurm) == ["4711_0"]
