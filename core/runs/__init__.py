"""Runs on disk: folders, metrics, processes, evaluations, trajectories, and the store that reads them. Torch-free."""

from core.runs.directory import (
    DISK_FULL,
    NotQueuedError,
    RunBusyError,
    RunDirectory,
    RunFile,
)
from core.runs.metric_definitions import METRICS, Metric
from core.runs.metrics import EpochRecord, MetricsTail, MetricsWriter, minmax_buckets
from core.runs.naming import make_group, make_run_id
from core.runs.process import ProcessIdentity, effective_state, is_alive, stall_warning
from core.runs.results import Evaluation, add_evaluation, latest_evaluation, read_evaluations
from core.runs.status import State, Status
from core.runs.store import RunInfo, RunProblem, RunStore, Scan

__all__ = [
    "DISK_FULL",
    "METRICS",
    "EpochRecord",
    "Evaluation",
    "Metric",
    "MetricsTail",
    "MetricsWriter",
    "NotQueuedError",
    "ProcessIdentity",
    "RunBusyError",
    "RunDirectory",
    "RunFile",
    "RunInfo",
    "RunProblem",
    "RunStore",
    "Scan",
    "State",
    "Status",
    "add_evaluation",
    "effective_state",
    "is_alive",
    "latest_evaluation",
    "make_group",
    "make_run_id",
    "minmax_buckets",
    "read_evaluations",
    "stall_warning",
]
