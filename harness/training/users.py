"""The trainer of a user's own script, named on the command line as ``MODULE:FUNCTION``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from harness.errors import UsageError


def users_trainer(spec: str, root: Path) -> Any:
    """Import the module (from ``root`` too), call the function without arguments, and return the Trainer it builds.

    Raises UsageError where the module or function is not there, fails, or returns something else.
    """
    from transformers import Trainer

    module_name, _, function_name = spec.partition(":")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's module raises while it is imported
        raise UsageError(f"--trainer {spec}: importing {module_name} failed with {_shown(error)}.") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"--trainer {spec}: {module_name} has no function {function_name!r}; check its name.")
    try:
        trainer = function()
    except (Exception, SystemExit) as error:  # whatever the user's function raises
        raise UsageError(f"--trainer {spec}: {function_name}() failed with {_shown(error)}.") from error
    if not isinstance(trainer, Trainer):
        raise UsageError(
            f"--trainer {spec}: {function_name}() returned {type(trainer).__name__}, "
            "not a transformers Trainer (or trl's SFTTrainer); return the trainer that you would call train() on."
        )
    if trainer.train_dataset is None:
        raise UsageError(f"--trainer {spec}: the trainer has no train_dataset; give it the rows that it will train on.")
    return trainer


def _shown(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
