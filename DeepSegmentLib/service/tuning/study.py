"""A search by Optuna, in one file: what was tried, how far it came, what is tried next.

References:
    Akiba et al., Optuna, KDD 2019; Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 2011 (TPE).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from DeepSegmentLib.errors import MissingPackageError, VolumeFileError

from .search_space import choices_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import optuna

    from .search_space import Choices

State = Literal["done", "stopped early", "failed", "unfinished"]

_AT_RANDOM = 4  # trials before the search learns from those that there are
_NEVER_STOPPED = 3  # trials before any is stopped because others were better by then


@dataclass(frozen=True)
class Trial:
    """One trial, as the table has it.

    Attributes:
        number: From 0; the first one is the recipe as it was planned.
        state: How it ended.
        dice: Mean over the cases that it is judged by, at its end or where it was stopped; None where it is not known.
        choices: What was tried.
        reason: Why it failed; empty otherwise.
    """

    number: int
    state: State
    dice: float | None = None
    choices: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def check_optuna() -> None:
    """Find out whether a search is possible, before anything is read for it.

    Raises:
        MissingPackageError: Optuna is not installed.
    """
    try:
        import optuna.storages.journal  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingPackageError(
            "tuning needs Optuna 4 or newer; install it: pip install 'DeepSegmentLib[tune]'"
        ) from error


class Study:
    """A search that is kept in a file; one process at a time.

    Args:
        path: Of the file.
        seed: Of what is tried.
        first: Choices of the first trial.

    Raises:
        MissingPackageError: Optuna is not installed.
        VolumeFileError: The file cannot be read or written.
    """

    def __init__(self, path: Path, seed: int, first: Choices) -> None:
        check_optuna()
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._seed = optuna, seed
        try:
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name="recipe",
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_NEVER_STOPPED),
            )
        except (OSError, ValueError, KeyError) as error:
            raise VolumeFileError(f"{path} cannot be read or written: {error}; delete it to begin anew") from error
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(first)

    def next_trial(self, minutes: float) -> Running:
        """The trial that was interrupted, or another one, of so many minutes."""
        for each in self._study.get_trials(deepcopy=False):
            if each.state == self._optuna.trial.TrialState.RUNNING:
                trial = self._optuna.trial.Trial(self._study, each._trial_id)
                given = float(each.user_attrs.get("minutes", minutes))
                return Running(self._study, trial, choices_of(trial), given, frozenset(each.intermediate_values))
        number = len(self.trials())
        self._study.sampler = self._optuna.samplers.TPESampler(seed=self._seed + number, n_startup_trials=_AT_RANDOM)
        trial = self._study.ask()
        trial.set_user_attr("minutes", minutes)
        return Running(self._study, trial, choices_of(trial), minutes)

    def trials(self) -> tuple[Trial, ...]:
        """All trials that were begun, in their order."""
        states: dict[str, State] = {"COMPLETE": "done", "PRUNED": "stopped early", "FAIL": "failed"}
        found = []
        for each in self._study.get_trials(deepcopy=False):
            if each.state != self._optuna.trial.TrialState.WAITING:
                state: State = states.get(each.state.name, "unfinished")
                steps = sorted(each.intermediate_values.items())
                dice = each.value if each.value is not None else steps[-1][1] if steps else None
                reason = str(each.user_attrs.get("reason", ""))
                found.append(Trial(each.number, state, dice, dict(each.params), reason))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Running:
    """A trial that is going on.

    Attributes:
        study: Of Optuna.
        trial: Likewise.
        choices: What is tried.
        minutes: Of its training.
        told: Parts of the training whose result is known already.
    """

    study: optuna.Study
    trial: optuna.Trial
    choices: Choices
    minutes: float
    told: frozenset[int] = frozenset()

    @property
    def number(self) -> int:
        """From 0."""
        return int(self.trial.number)

    def is_hopeless(self, part: int, dice: float) -> bool:
        """Tell how good it is after a part of its time; whether half of the trials were better by then."""
        if part not in self.told:
            self.trial.report(dice, part)
        return bool(self.trial.should_prune())

    def end(self, dice: float) -> None:
        """It is done."""
        self.study.tell(self.number, dice)

    def stop(self) -> None:
        """It was hopeless."""
        self.study.tell(self.number, state=self._state("PRUNED"))

    def fail(self, reason: str) -> None:
        """It could not be done."""
        self.trial.set_user_attr("reason", reason)
        self.study.tell(self.number, state=self._state("FAIL"))

    def _state(self, name: str) -> Any:
        from optuna.trial import TrialState

        return TrialState[name]
