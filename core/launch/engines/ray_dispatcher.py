"""``python -m core.launch.engines.ray_dispatcher < REQUEST``: submit jobs to a Ray cluster.

The request is JSON of `core.launch.engines.ray`. The jobs are handed to a detached actor, the dispatcher of the runs
folder, which is created if there is none. What runs in the cluster is pickled by value, because this module is the
main one, and uses the standard library and Ray only. So a node needs this program only for its workers.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

EXIT_USAGE = 2
EXIT_REQUEUE = 75
BEAT_SECONDS = 5.0
IDLE_SECONDS = 60.0
LOOK_SECONDS = 30.0
TRIES = 3


class WorkerEndedError(Exception):
    """A worker ended before its run did, and another one should go on. Ray then retries the task."""


def train(dispatcher: Any, job: str, spec: dict[str, Any], environment: dict[str, str]) -> str:
    """Train a run to its end, as a task of Ray.

    Returns:
        The reason why no worker could be started, or an empty text.

    Raises:
        WorkerEndedError: the run is not finished.
    """
    dispatcher.started.remote(job)
    command = [sys.executable, "-P", "-m", "core.launch.engines.ray_task", spec["run"], "--job", job]
    command += ["--cpus", str(spec["cpus"]), "--gpus", str(spec["gpus"])]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode == EXIT_REQUEUE:
        raise WorkerEndedError(output.strip()[-300:])
    lines = output.strip().splitlines() or [f"ended with code {process.returncode}"]
    return lines[-1][:300] if process.returncode else ""


class Dispatcher:
    """Owner of the tasks of one runs folder. It writes their states into the folder, and ends when all have ended."""

    def __init__(self, file: str, environment: dict[str, str]) -> None:
        import ray

        self.file, self.environment = file, environment
        self.jobs: dict[str, dict[str, Any]] = {}
        self.references: dict[Any, str] = {}
        self.mutex = threading.RLock()
        self.idle_since = self.looked = time.monotonic()
        context = ray.get_runtime_context()
        self.handle = context.current_actor
        if context.was_current_actor_reconstructed:  # its node died, and all its tasks with it
            try:
                with open(file, encoding="utf-8") as stored:
                    self.submit(json.load(stored)["jobs"])
            except (OSError, ValueError, KeyError):
                pass
        threading.Thread(target=self.watch, daemon=True).start()

    def submit(self, jobs: dict[str, dict[str, Any]]) -> None:
        """Start a task for each job."""
        import ray

        with self.mutex:
            for job, spec in jobs.items():
                options = {
                    "num_cpus": spec["cpus"],
                    "num_gpus": spec["gpus"],
                    "max_retries": spec["max_retries"],
                    "retry_exceptions": [WorkerEndedError],
                    "name": f"train {os.path.basename(spec['run'])}",
                }
                task = ray.remote(train).options(**options)
                reference = task.remote(self.handle, job, spec, self.environment)
                self.references[reference] = job
                self.jobs[job] = {**spec, "state": "pending", "reason": ""}
            self.write()

    def started(self, job: str) -> None:
        """Note that a task has begun."""
        with self.mutex:
            if job in self.jobs:
                self.jobs[job].update(state="running", reason="")
                self.write()

    def watch(self) -> None:
        """Forget tasks that end, and beat, until nothing is left to do."""
        import ray

        while True:
            with self.mutex:
                references = list(self.references)
            ended = (
                ray.wait(references, num_returns=len(references), timeout=BEAT_SECONDS)[0]
                if references
                else []
            )
            if not references:
                time.sleep(BEAT_SECONDS)
            for reference in ended:
                try:
                    error = ray.get(reference)
                except ray.exceptions.TaskCancelledError:
                    error = ""
                except Exception as problem:  # of any retry too many, or of Ray itself
                    error = f"{type(problem).__name__}: {problem}".splitlines()[-1]
                self.forget(reference, error)
            if time.monotonic() - self.looked > LOOK_SECONDS:
                self.looked = time.monotonic()
                self.cancel_stopped()
            lacking = self.lacking(ray.cluster_resources())
            with self.mutex:
                for job, spec in self.jobs.items():
                    self.idle_since = time.monotonic()
                    if spec["state"] == "pending":
                        spec["reason"] = lacking.get(job, "waiting for resources")
                self.write()
                if not self.jobs and time.monotonic() - self.idle_since > IDLE_SECONDS:
                    with contextlib.suppress(OSError):
                        os.unlink(self.file)
                    ray.kill(self.handle)
                    return

    def forget(self, reference: Any, error: str) -> None:
        """Forget a task that has ended; a run that no worker could begin is marked as failed."""
        with self.mutex:
            job = self.references.pop(reference)
            spec = self.jobs.pop(job)
        if error:
            command = [
                sys.executable,
                "-P",
                "-m",
                "core.launch.engines.ray_task",
                spec["run"],
                "--failed",
                error,
                "--job",
                job,
            ]
            subprocess.run(
                command, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, check=False
            )

    def cancel_stopped(self) -> None:
        """Cancel waiting tasks whose runs were stopped or removed, which may wait for what never comes."""
        import ray

        with self.mutex:
            waiting = [
                (reference, self.jobs[job]["run"])
                for reference, job in self.references.items()
                if self.jobs[job]["state"] == "pending"
            ]
        for reference, run in waiting:
            try:
                with open(os.path.join(run, "status.json"), encoding="utf-8") as file:
                    is_over = json.load(file)["state"] in ("stopped", "finished")
            except FileNotFoundError:
                is_over = True
            except (OSError, ValueError, KeyError, TypeError):
                is_over = False
            if is_over:
                ray.cancel(reference, force=False)

    def lacking(self, resources: dict[str, float]) -> dict[str, str]:
        """Return what pending jobs need that the whole cluster has not."""
        found = {}
        with self.mutex:
            for job, spec in self.jobs.items():
                for key, name in (("cpus", "CPU"), ("gpus", "GPU")):
                    if spec[key] > resources.get(name, 0.0):
                        found[job] = (
                            f"needs {spec[key]:g} {name}, the cluster has {resources.get(name, 0.0):g}"
                        )
        return found

    def write(self) -> None:
        """Replace the file in the runs folder."""
        hidden = f"{self.file}.tmp"
        try:
            with open(hidden, "w", encoding="utf-8") as file:
                json.dump({"beat": time.time(), "jobs": self.jobs}, file)
            os.replace(hidden, self.file)
        except OSError:  # the disk is full, or the folder gone; the jobs matter more
            pass


def submit(request: dict[str, Any]) -> None:
    """Hand the jobs of a request to the dispatcher of its runs folder."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray.init(address=request["address"], namespace="ddpm-tui", log_to_driver=False, logging_level="ERROR")
    name = "runs-" + hashlib.sha256(request["root"].encode(errors="surrogateescape")).hexdigest()[:16]
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    for attempt in range(TRIES):
        dispatcher = (
            ray.remote(Dispatcher)
            .options(
                name=name,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
                max_restarts=-1,
                max_concurrency=8,
                scheduling_strategy=here,
            )
            .remote(request["file"], request["environment"])
        )
        try:
            ray.get(dispatcher.submit.remote(request["jobs"]))
            return
        except ray.exceptions.RayActorError:  # it has just ended, because it had nothing to do
            if attempt == TRIES - 1:
                raise
            time.sleep(1.0)


def main() -> int:
    """Run the command line; see the module."""
    try:
        submit(json.load(sys.stdin))
    except Exception as error:  # whatever Ray raises becomes one line for the user
        text = str(error).strip().splitlines() or [type(error).__name__]
        if isinstance(error, ConnectionError):
            text = [
                "there is no cluster to connect to; start one with ray start --head, or give launch.ray.address"
            ]
        print(f"error: {text[0]}", flush=True)
        os._exit(EXIT_USAGE)  # Ray's own end could wait for a cluster that is not there
    return 0


if __name__ == "__main__":
    sys.exit(main())
