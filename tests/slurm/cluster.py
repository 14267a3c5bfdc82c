"""A Slurm of two nodes on this machine: munge, slurmctld and two slurmd, without systemd, root or accounting."""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil

from tests.support import ROOT

NODES: Final = ("n1", "n2")
_CONFIG: Final = """\
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/%n.log
PluginDir={library}/slurm-wlm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=10
MinJobAge=600
MaxArraySize=11
SlurmdTimeout=20
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2,sched_min_interval=100000
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def installed() -> Path | None:
    """The folder that `install.sh` has unpacked Slurm into, or None."""
    folder = Path(os.environ.get("DDPM_SLURM", ROOT / "build/slurm"))
    return folder if (folder / "root/usr/bin/sbatch").exists() else None


class Cluster:
    """A running Slurm. `environment` is what its commands need."""

    def __init__(self, software: Path, folder: Path) -> None:
        self.root, self.folder = software / "root", folder
        self.library = self.root / "usr/lib/x86_64-linux-gnu"
        if not self.library.exists():
            self.library = next(self.root.glob("usr/lib/*/slurm-wlm")).parent
        self.environment = {
            "LD_LIBRARY_PATH": f"{self.library}:{self.library}/slurm-wlm",
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{self.root}/usr/bin:{os.environ['PATH']}",
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._waiting: dict[str, float] = {}

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        self.folder.chmod(0o755)
        host = socket.gethostname().partition(".")[0]
        config = _CONFIG.format(
            folder=self.folder, library=self.library, host=host, user=getpass.getuser(), ports=_free_ports(3)
        )
        (self.folder / "slurm.conf").write_text(config)
        munge = self.folder / "munge"
        self._start(
            "munged",
            "--foreground",
            "--force",
            "--num-threads=2",
            f"--socket={munge}.socket",
            f"--key-file={key}",
            f"--pid-file={munge}.pid",
            f"--log-file={munge}.log",
            f"--seed-file={munge}.seed",
        )
        wait_for((self.folder / "munge.socket").exists, "munge", 10)
        self._start("slurmctld-wlm", "-D", "-f", str(self.folder / "slurm.conf"))
        for node in NODES:
            self.start_node(node)
        wait_for(lambda: self.call("sinfo", "-h", "-t", "idle", "-o", "%D") in ("2", "2\n2"), "two nodes", 30)

    def start_node(self, node: str) -> None:
        stepd = str(self.root / "usr/sbin/slurmstepd-wlm")
        config = str(self.folder / "slurm.conf")
        self._start("slurmd-wlm", "-D", "-f", config, "-N", node, "-d", stepd, name=node)

    def kill_node(self, node: str) -> None:
        """Kill a slurmd and all that it has started, as the death of a node does."""
        daemon = self._daemons.pop(node)
        work = [one for one in psutil.process_iter() if self._runs_on(one, node)]
        steps = {parent for one in work for parent in _parents(one) if "slurmstepd" in parent.name()}
        for process in (*steps, psutil.Process(daemon.pid), *work):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        daemon.wait()
        shutil.rmtree(
            self.folder / "spool" / node, ignore_errors=True
        )  # lost with the node, as on most of them

    def _runs_on(self, process: psutil.Process, node: str) -> bool:
        """Return whether a process was started by a job on a node."""
        with contextlib.suppress(psutil.Error):
            found = process.environ()
            return (found.get("SLURM_CONF"), found.get("SLURMD_NODENAME")) == (
                self.environment["SLURM_CONF"],
                node,
            )
        return False

    def stop(self) -> None:
        with contextlib.suppress(AssertionError, OSError, subprocess.SubprocessError):
            self.call("scancel", "--user", getpass.getuser(), "--signal=KILL", "--full")
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()
        # Steps and workers are no children of this process, but all have the cluster's environment.
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                ours = process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]
                if ours and process.pid != os.getpid():
                    process.kill()

    def call(self, *words: str) -> str:
        """Run one of Slurm's commands, and return its output."""
        done = subprocess.run(
            words,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0 or words[0] == "sinfo", (words, done.stderr)
        return done.stdout.strip()

    def start_requeued(self) -> None:
        """Have requeued jobs start after four seconds, and not after Slurm's two minutes; call it again and again.

        Slurm refuses to start a job whose last attempt it has not quite cleaned up.
        """
        for name in self.call("squeue", "-h", "--array", "-t", "PENDING", "-o", "%i|%r").splitlines():
            job, _, reason = name.partition("|")
            if reason != "BeginTime":
                self._waiting.pop(job, None)
            elif time.monotonic() - self._waiting.setdefault(job, time.monotonic()) > 4:
                self._waiting.pop(job)
                self.call("scontrol", "update", f"JobId={job}", "StartTime=now")

    def _start(self, program: str, *words: str, name: str = "") -> None:
        with (self.folder / f"{name or program}.out").open("ab") as output:
            self._daemons[name or program] = subprocess.Popen(
                [str(self.root / "usr/sbin" / program), *words],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a Slurm in an empty folder, and end it with everything that it started."""
    software = installed()
    assert software is not None
    # A socket's path may have 107 characters, fewer than those of some temporary folders.
    short = Path(f"/tmp/ddpm-slurm-{os.getpid()}-{secrets.token_hex(2)}")
    short.mkdir()
    cluster = Cluster(software, short)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        for log in (*short.glob("*.log"), *short.glob("*.out")):
            with contextlib.suppress(OSError):
                shutil.copy(log, folder)
        shutil.rmtree(short, ignore_errors=True)


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _parents(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.parents()
    return []
