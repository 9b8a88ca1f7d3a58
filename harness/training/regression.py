"""A guard for a run that forgets: suites over every saved checkpoint, and an end to the training where one regresses.

Each look at a run is one more chance of a false alarm. So the planned looks share ``alpha`` (Bonferroni): that a run
which forgets nothing is stopped, at any of them, is no more likely than ``alpha``.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.records import Outcome
from harness.training.look import Asked, Look, check_asked, look_at
from harness.training.look_told import in_words, numbers_of, told

DEFAULT_SUITE = "suites/test_forgetting.py"


class RegressionCallback:
    """Runs chosen suites at each save of a transformers ``Trainer``, and stops a run that forgets.

    ``suites`` are what pytest takes, from the working directory. ``base_model`` is what the checkpoint is compared
    with, as ``--base-model`` takes it: by default, what the trainer's model was loaded from; ``baseline`` names stored
    baselines to compare with as well. ``options`` are further arguments of pytest: ``("--limit", "200")``.

    ``alpha`` holds for the whole run. A verdict in ``fail_on`` ends the training, unless ``stop`` is False. A look
    that breaks (no memory, wrong usage, ``invalid``) is told and training goes on, unless ``fail_on`` has ``invalid``.
    Every ``every``-th save is looked at. ``reports`` is where reports go, by default ``regression`` in the output
    folder. ``log`` gets numbers as ``trainer.log`` does, so that trackers show them; they are always in
    ``trainer.state.log_history``. ``looks`` holds what was seen, ``stopped`` the sentence that ended the run.

    It is no ``TrainerCallback``, so that it can be named without importing transformers; a trainer calls by name.
    """

    def __init__(
        self,
        suites: str | Sequence[str] = DEFAULT_SUITE,
        *,
        base_model: str | None = None,
        baseline: str | Sequence[str] = (),
        options: Sequence[str] = (),
        alpha: float = 0.05,
        fail_on: Iterable[str] = (Outcome.REGRESSED,),
        stop: bool = True,
        every: int = 1,
        reports: str | Path | None = None,
        log: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        self.asked = Asked(
            suites=_several(suites),
            base_model=base_model,
            baselines=_several(baseline),
            fail_on=_outcomes(fail_on),
            options=tuple(options),
            folder=Path.cwd(),
        )
        if not 0 < alpha < 0.5:
            raise UsageError(f"RegressionCallback: alpha is {alpha}; a significance level lies between 0 and 0.5.")
        if every < 1:
            raise UsageError(f"RegressionCallback: every is {every}; 1 looks at each save, 2 at every other one.")
        self.alpha = alpha
        self.stop = stop
        self.every = every
        self.reports = Path(reports) if reports is not None else None
        self.log = log
        self.looks: list[Look] = []
        self.stopped = ""
        self.planned = 0
        self._saves = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        """A trainer calls every event of every callback; those that are not written here do nothing."""
        if name.startswith("on_"):
            return lambda *_arguments, **_beside: None
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **beside: Any) -> None:  # noqa: ARG002
        """See that there is something to compare with, and that the suites can be run, before the first step."""
        self.looks, self.stopped, self._saves = [], "", 0
        self.planned = planned_saves(args, state) // self.every
        if not self.planned:
            raise UsageError(
                "RegressionCallback: no look is planned, because a save that it could look at never comes "
                f"(save_strategy {args.save_strategy.value}, every {self.every}); save more often."
            )
        self.asked = self._with_base(model)
        if state.is_world_process_zero:
            check_asked(self.asked)
            _tell(
                f"regression: looks planned: {self.planned}, each at alpha {self.alpha / self.planned:.3g}, so that "
                f"a run that forgets nothing is stopped with a chance of {self.alpha:g} at most"
            )

    def on_save(self, args: Any, state: Any, control: Any, **beside: Any) -> Any:  # noqa: ARG002
        """Look at what was just saved, and end the training where it fails."""
        self._saves += 1
        if self._saves % self.every:
            return control
        if self._saves // self.every > self.planned:
            _tell(
                f"regression: step {state.global_step} was saved beyond the plan and has no share of alpha; not judged"
            )
            return control
        if state.is_world_process_zero:
            self._look(args, state)
        if _by_the_main_process(self.stop and bool(self.stopped), args):
            control.should_training_stop = True
        return control

    def _with_base(self, model: Any) -> Asked:
        loaded_from = str(getattr(getattr(model, "config", None), "name_or_path", "") or "")
        base = self.asked.base_model or loaded_from or None
        if base is None and not self.asked.baselines:
            raise UsageError(
                "RegressionCallback: there is nothing to compare with, since the trainer's model was not loaded from "
                "anywhere; give base_model= or baseline=."
            )
        return replace(self.asked, base_model=base)

    def _look(self, args: Any, state: Any) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # the other process needs what this one only keeps for later
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        reports = self.reports or Path(args.output_dir) / "regression"
        began = time.perf_counter()
        look = look_at(
            checkpoint.resolve(),
            self.asked,
            (reports / f"{checkpoint.name}.json").resolve(),
            step=state.global_step,
            alpha=self.alpha / self.planned,
            threads=torch.get_num_threads(),
        )
        self.looks.append(look)
        for line in told(look, time.perf_counter() - began):
            _tell(f"regression: {checkpoint.name}: {line}")
        self._log(look, state)
        self.stopped = self._why_to_stop(look, state)
        if self.stopped:
            _tell(f"regression: {self.stopped}")

    def _log(self, look: Look, state: Any) -> None:
        numbers = numbers_of(look)
        if self.log is not None:
            self.log(dict(numbers))
        else:
            state.log_history.append({**numbers, "step": state.global_step, "epoch": state.epoch})

    def _why_to_stop(self, look: Look, state: Any) -> str:
        failing = look.failing(self.asked.fail_on)
        if not failing and not (look.broken and Outcome.INVALID in self.asked.fail_on):
            return ""
        what = in_words(failing[0]) if failing else f"the look broke: {look.broken}"
        more = f" and {len(failing) - 1} more" if len(failing) > 1 else ""
        sound = [each.step for each in self.looks if not each.broken and not each.failing(self.asked.fail_on)]
        before = f"; checkpoint-{sound[-1]} was still sound" if sound else ""
        ends = "the training ends here" if self.stop else "the training goes on, as stop=False says"
        return f"step {state.global_step} of {state.max_steps}: {what}{more}; {ends}; see {look.report}{before}"


def planned_saves(args: Any, state: Any) -> int:
    """How often a run will save, from its arguments and its state at the beginning.

    Where it saves the best of its evaluations, how often it can at most.
    """
    kind, steps = args.save_strategy.value, state.save_steps
    if kind == "best":
        kind, steps = args.eval_strategy.value, state.eval_steps
    if kind == "steps":
        return math.ceil(state.max_steps / steps) if steps > 0 else 0
    return math.ceil(state.num_train_epochs) if kind == "epoch" else 0


def _several(texts: str | Sequence[str]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(map(str, texts))


def _outcomes(names: Iterable[str]) -> frozenset[Outcome]:
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in set(Outcome)]
    if unknown:
        raise UsageError(f"RegressionCallback: {unknown[0]!r} is no verdict; the verdicts are {', '.join(Outcome)}.")
    return frozenset(map(Outcome, names))


def _by_the_main_process(stop: bool, args: Any) -> bool:
    """What the main process has decided, in every process: one that stopped alone would leave the others waiting."""
    import torch

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return stop
    decided = torch.tensor(float(stop), device=args.device)
    torch.distributed.broadcast(decided, src=0)
    return bool(decided)


def _tell(line: str) -> None:
    """Print a line above a progress bar, where there is one."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    tqdm.write(line, file=sys.stderr)
