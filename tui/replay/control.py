"""Run controller of a replay, which changes no runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from core.errors import UserError
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.config import RunConfig
    from core.runs.directory import RunDirectory
    from core.runs.interventions import Interventions
    from core.runs.results import Evaluation
    from core.runs.trajectory import TrajectorySpec

REFUSAL: Final = "this is a replay: it shows runs and changes none"


@dataclass(frozen=True, slots=True)
class ReplayController(RunController):
    """Controller that refuses, in one line, every action that would change a run; `now` is the replayed time."""

    def queue(
        self,
        configs: "Sequence[RunConfig]",
        name: str,
        launch: "Mapping[str, Any] | None" = None,
        *,
        clone_of: "RunDirectory | None" = None,
    ) -> NoReturn:
        raise UserError(REFUSAL)

    def wake(self) -> NoReturn:
        raise UserError(REFUSAL)

    def device_note(self) -> str:
        """Return nothing, because a replay uses no device."""
        return ""

    def stop(self, runs: Sequence[RunSnapshot]) -> NoReturn:
        raise UserError(REFUSAL)

    def resume(self, runs: Sequence[RunSnapshot], *, epochs: int | None = None) -> NoReturn:
        raise UserError(REFUSAL)

    def denoise(self, runs: Sequence[RunSnapshot], specs: "Sequence[TrajectorySpec]") -> NoReturn:
        raise UserError(REFUSAL)

    def restore(
        self, run: RunSnapshot, image: "NDArray[np.uint8]", known: "NDArray[np.bool_]", *, seed: int
    ) -> NoReturn:
        raise UserError(REFUSAL)

    def fit(self, images: "NDArray[np.uint8]", kept: Path, samples: Sequence[tuple[Path, Path]]) -> NoReturn:
        raise UserError(REFUSAL)

    def evaluate(self, groups: "Sequence[tuple[Sequence[RunSnapshot], Evaluation | None]]") -> NoReturn:
        raise UserError(REFUSAL)

    def explain(self, groups: "Sequence[tuple[Sequence[RunSnapshot], Interventions | None]]") -> NoReturn:
        raise UserError(REFUSAL)

    def delete(self, run: RunSnapshot) -> NoReturn:
        raise UserError(REFUSAL)
