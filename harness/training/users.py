"""The trainer of a user's own script, named on the command line as ``MODULE:FUNCTION``."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import UsageError


def users_trainer(spec: str, root: Path) -> Any:
    """Import the module (from ``root`` and the working directory too), call the function, return the Trainer it builds.

    Both see a command line without arguments, as if the module were run by itself, and not pytest's.

    Raises UsageError where the module or function is not there, fails, or returns something else.
    """
    from transformers import Trainer

    module_name, _, function_name = spec.partition(":")
    sys.path[:0] = [place for place in (str(root), str(Path.cwd())) if place not in sys.path]
    module = _asked(spec, f"importing {module_name}", lambda: importlib.import_module(module_name), module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UsageError(f"--trainer {spec}: {module_name} has no function {function_name!r}; check its name.")
    needed = _needed(function)
    if needed:
        raise UsageError(
            f"--trainer {spec}: {function_name}() needs {', '.join(needed)}, and it is called without arguments; "
            "give them defaults, or name a function that calls it with them."
        )
    trainer = _asked(spec, f"{function_name}()", function, module_name)
    if not isinstance(trainer, Trainer):
        raise UsageError(
            f"--trainer {spec}: {function_name}() returned {type(trainer).__name__}, "
            "not a transformers Trainer (or trl's SFTTrainer); return the trainer that you would call train() on."
        )
    if trainer.train_dataset is None:
        raise UsageError(f"--trainer {spec}: the trainer has no train_dataset; give it the rows that it will train on.")
    return trainer


def _asked(spec: str, what: str, call: Callable[[], Any], module_name: str) -> Any:
    """What the user's code gives; whatever it raises becomes a sentence that says where."""
    try:
        with _own_command_line(module_name):
            return call()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"--trainer {spec}: {what} failed with {_shown(error)}{_place(error)}; "
            f"put it right until python -c 'import {module_name}; {module_name}.{spec.partition(':')[2]}()' runs."
        ) from error


@contextmanager
def _own_command_line(module_name: str) -> Iterator[None]:
    """Scripts parse ``sys.argv``, which holds pytest's options."""
    before, sys.argv = sys.argv, [module_name]
    try:
        yield
    finally:
        sys.argv = before


def _needed(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters that have no default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in several]


def _shown(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def _place(error: BaseException) -> str:
    """The last line of code of the user's own, not of an installed package, that the error came through."""
    here = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
        and "site-packages" not in frame.filename
        and Path(frame.filename).is_file()
        and not frame.filename.startswith((sys.base_prefix, sys.prefix))
    ]
    return f" (at {here[-1].filename}:{here[-1].lineno})" if here else ""
