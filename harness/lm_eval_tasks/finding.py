"""Where a task, a group or a tag of lm-eval is written down: found in its YAML files, without importing lm-eval.

pytest wants to know the cases before anything is loaded. lm-eval's own index parses 14,000 files in six seconds and
imports torch's relatives for it; a search of the same files as text takes half a second.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from harness.errors import DataError, UsageError

NAMED = re.compile(
    r"""^["']?(?:task|group)["']?:[ \t]+["']?([^\s"'#\[{][^"'#\n]*?)["']?[ \t]*(?:#.*)?$""", re.MULTILINE
)
"""The line that names a task or a group; the list of a group's members begins on a line of its own."""

TAGGED = re.compile(r"""^["']?tag["']?:""", re.MULTILINE)
INCLUDED = re.compile(r"""^["']?include["']?:[ \t]*["']?([^"'#\n]+?)["']?[ \t]*(?:#.*)?$""", re.MULTILINE)


class Function(str):
    """What ``!function module.name`` stands for in a YAML of lm-eval: code, which is not looked at here."""

    @property
    def called(self) -> str:
        """The function's own name."""
        return self.rpartition(".")[2]


_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""A group has dozens of files, which libyaml reads ten times as fast, where PyYAML was built with it."""


class _Loader(_Safe):  # type: ignore[misc]  # which of the two it is shows at run time only
    """Safe YAML, with lm-eval's tag for functions."""


_Loader.add_constructor("!function", lambda _, node: Function(node.value))


@dataclass(frozen=True)
class TaskFile:
    """A YAML of lm-eval and what it says, with what it includes."""

    path: Path
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name that the file gives: a task's, or a group's."""
        return str(self.config["group"] if self.is_group else self.config["task"])

    @property
    def is_group(self) -> bool:
        """Whether it lists tasks and is none itself."""
        return "group" in self.config and "class" not in self.config


class TaskFiles:
    """The YAML files of lm-eval itself and of one folder of the user's, whose names come first."""

    def __init__(self, include: Path | None = None) -> None:
        self._folders = [installed_tasks(), *([include] if include else [])]

    def named(self, name: str) -> TaskFile | tuple[TaskFile, ...]:
        """The file of a task or group; the files of a tag's tasks; raises UsageError for a name that nothing has."""
        if name in self._paths:
            return read_task(self._paths[name])
        tagged = tuple(self._tagged(name))
        if tagged:
            return tagged
        nearest = difflib.get_close_matches(name, self._paths, n=3)
        hint = f"near are {', '.join(nearest)}" if nearest else "`lm-eval ls tasks` prints them"
        raise UsageError(
            f"--lm-eval-tasks: lm-eval knows no task, group or tag {name!r} ({hint}); a YAML of your own is named by "
            "its path, or found with --lm-eval-include."
        )

    @cached_property
    def _texts(self) -> list[dict[Path, str]]:
        return [dict(_texts(folder)) for folder in self._folders]

    @cached_property
    def _paths(self) -> dict[str, Path]:
        """Files by the name they give. In one folder the first file of a name counts, of folders the last."""
        found: dict[str, Path] = {}
        for texts in self._texts:
            here: dict[str, Path] = {}
            for path, text in texts.items():
                for match in NAMED.finditer(text) if path.suffix == ".yaml" else ():
                    here.setdefault(match[1], path)
            found |= here
        return found

    def _tagged(self, tag: str) -> Iterator[TaskFile]:
        """The tasks with a tag, which is in their own file or in one that they include."""
        texts = {path: text for each in self._texts for path, text in each.items()}
        includers: dict[str, set[Path]] = {}
        for path, text in texts.items():
            for match in INCLUDED.finditer(text):
                includers.setdefault(Path(match[1]).name, set()).add(path)
        candidates = {path for path, text in texts.items() if tag in text and TAGGED.search(text)}
        more = candidates
        while more := {each for path in more for each in includers.get(path.name, ())} - candidates:
            candidates |= more
        for name, path in sorted(self._paths.items()):
            if path in candidates:
                task = read_task(path)
                tags = task.config.get("tag")
                if task.name == name and not task.is_group and tag in ([tags] if isinstance(tags, str) else tags or []):
                    yield task


def installed_tasks() -> Path:
    """The folder of lm-eval's own tasks; raises UsageError where lm-eval is not installed."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("--lm-eval-tasks needs lm-eval, which is not installed: pip install 'pytest-sft[lm-eval]'.")
    return Path(next(iter(spec.submodule_search_locations))) / "tasks"


def read_task(path: Path) -> TaskFile:
    """Read a YAML of lm-eval with what it includes; its own keys win. Raises DataError where it cannot be read."""
    config = _with_includes(path.resolve(), ())
    if not isinstance(config.get("task") or config.get("group"), str | list):
        raise DataError(f"{path}: names neither a task nor a group; a YAML of lm-eval has the key task.")
    if "group" not in config and not isinstance(config["task"], str):
        raise DataError(f"{path}: task is a list, which a group has; give the file the key group as well.")
    return TaskFile(path.resolve(), config)


def _with_includes(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path in above:
        raise DataError(f"{above[-1]}: includes {path.name}, which includes it in turn; end the circle.")
    config = _yaml(path)
    included = config.pop("include", [])
    merged: dict[str, Any] = {}
    for each in included if isinstance(included, list) else [included]:
        if not isinstance(each, str):
            raise DataError(f"{path}: include is {each!r}, and names no file; write the path of a YAML.")
        merged |= _with_includes((path.parent / each).resolve(), (*above, path))
    return merged | config


def _yaml(path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader with one more tag
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise DataError(f"{where}: no YAML that can be read ({getattr(error, 'problem', None) or error}).") from None
    if not isinstance(config, dict):
        raise DataError(f"{path}: a YAML of lm-eval is a list of keys and values, this is {type(config).__name__}.")
    return config


def _texts(folder: Path) -> Iterable[tuple[Path, str]]:
    """YAML files in the order of their paths, and files without a suffix, which is how lm-eval calls templates."""
    if not folder.is_dir():
        raise UsageError(f"--lm-eval-include {folder}: there is no such folder; check the path.")
    walked = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    for path in sorted((path for path in walked if path.suffix in (".yaml", "")), key=Path.as_posix):
        yield path, path.read_text(encoding="utf-8", errors="replace")
