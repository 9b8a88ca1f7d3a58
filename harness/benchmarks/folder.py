"""Which files of a folder hold one split of a benchmark, by what files and folders are called.

A file belongs to a set if its name, or a folder above it, holds the set's name as words: ``hellaswag_val.jsonl``,
``ARC-Easy/test-00000-of-00001.parquet``, ``super_glue/COPA/val.jsonl``. What else stands in these names tells split and
subject. What the rows are is left to their fields.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.benchmarks.record import Benchmark
from harness.benchmarks.tables import KINDS, kind_of
from harness.errors import DataError

OTHER_NAMES = {
    "validation": ("valid", "val", "dev"),
    "val": ("validation", "valid"),
    "dev": (),
    "test": (),
    "train": (),
}
"""What a split is called elsewhere; its own name goes first, since C-Eval has ``val`` and ``dev``."""

SPLIT_WORDS = {*OTHER_NAMES, *(name for names in OTHER_NAMES.values() for name in names)}

ABOUT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""What ``datasets`` writes beside the data."""

SHARD = re.compile(r"-(\d{5})-of-(\d{5})(-[0-9a-f]{16})?\Z")
"""What a part of a table is called; the hub used to put a digest behind it."""


@dataclass(frozen=True)
class DataFile:
    """One file, with the words of its own name and of the folders up to the set's, innermost first.

    The words of the set's name are taken out of them.
    """

    path: Path
    words: tuple[tuple[str, ...], ...]

    @property
    def split(self) -> str:
        """The split that the innermost name tells; empty where none does."""
        return next((word for part in self.words for word in part if word in SPLIT_WORDS), "")

    def subject(self, subjects: Iterable[str]) -> str:
        """The subject whose name is all that is left of a part; empty where there is none."""
        known = {"_".join(_words(subject)): subject for subject in subjects}
        parts = ("_".join(word for word in part if word not in SPLIT_WORDS) for part in self.words)
        return next((known[part] for part in parts if part in known), "")

    @property
    def table(self) -> tuple[Path, str]:
        """The same for the shards of one table."""
        return self.path.parent, SHARD.sub("", self.path.stem)


def files_of(root: Path, benchmark: Benchmark) -> list[DataFile]:
    """The data files under ``root`` that are the set's by name; all of them where only ``root`` itself is called so.

    What the user's own folders above the set are called says nothing about split or subject.
    """
    # The name of one subject, mmlu_anatomy, is that of its set and the subject's: what is left must tell the subject.
    whole = () if benchmark.only else (benchmark.name,)
    names = [tuple(_words(name)) for name in (*whole, *benchmark.folders)]
    everything, own = [], []
    for path in _data_files(root):
        inside = path.relative_to(root)
        parts = [tuple(_words(part)) for part in (SHARD.sub("", path.stem), *reversed(inside.parts[:-1]))]
        words = tuple(_without(names, part) for part in parts)
        everything.append(DataFile(path, words))
        named = [index for index, part in enumerate(parts) if _named(names, part)]
        if named:
            own.append(DataFile(path, words[: named[-1] + 1]))
    return own or (everything if _named(names, tuple(_words(root.resolve().name))) else [])


def split_files(files: list[DataFile], benchmark: Benchmark, split: str) -> list[DataFile]:
    """The files of one split of one set, or none; a file that names no split holds the one that is evaluated."""
    evaluated = split == benchmark.split
    for name in (split, *OTHER_NAMES.get(split, ()), *(benchmark.split_names if evaluated else ())):
        if named := [file for file in files if file.split == name]:
            return _of_config(named, benchmark)
    return _of_config([file for file in files if not file.split], benchmark) if evaluated else []


def one_table(files: list[DataFile], what: str) -> list[Path]:
    """The shards of one table in their order.

    Where several tables could be meant, the kind that is easiest to read goes first, then the shortest name
    (``test`` before ``test-tiny``). Raises DataError for what is still ambiguous, and for a shard that is not there.
    """
    easiest = min((kind_of(file.path) for file in files), key=KINDS.index)
    kinds = [file for file in files if kind_of(file.path) == easiest]
    shortest = min(len(file.words[0]) for file in kinds)
    left = [file for file in kinds if len(file.words[0]) == shortest]
    tables = sorted({file.table for file in left})
    if len(tables) > 1:
        first, second = (next(file.path for file in left if file.table == table) for table in tables[:2])
        raise DataError(f"{what}: both {first} and {second} could be meant; keep one of them in the folder.")
    paths = sorted(file.path for file in left)
    _require_all_shards(paths, what)
    return paths


def _require_all_shards(paths: list[Path], what: str) -> None:
    """A download that broke off leaves a table of which a part is missing, and nothing else would tell."""
    marks = [match.groups()[:2] if (match := SHARD.search(path.stem)) else ("00000", "00001") for path in paths]
    total = int(marks[0][1])
    if sorted(marks) != [(f"{number:05}", f"{total:05}") for number in range(total)]:
        raise DataError(
            f"{what}: {paths[0].parent} holds {len(paths)} parts of the table, {paths[0].name} to {paths[-1].name}, "
            f"and by the first one's name there are {total}; fetch the table again, whole and of one release."
        )


def _of_config(files: list[DataFile], benchmark: Benchmark) -> list[DataFile]:
    """Those that name the hub's config, where any does: ``main`` beside ``additional``, ``xl`` beside ``xs``."""
    named = set(_words(benchmark.name))
    config = [word for word in _words(benchmark.config or "") if word not in named]
    chosen = [file for file in files if set(config) <= {word for part in file.words for word in part}]
    return chosen or files


def _data_files(root: Path) -> list[Path]:
    """In their order; folders that are links to elsewhere are looked into as well."""
    found, followed = [], set[Path]()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not _hidden(name) and _leads_on(Path(folder, name), followed)]
        found += [Path(folder, name) for name in names if name not in ABOUT_DATA and not _hidden(name)]
    return sorted(path for path in found if kind_of(path) in KINDS and path.is_file())


def _leads_on(path: Path, followed: set[Path]) -> bool:
    """Whether a folder is to be looked into: a link is, once, unless it leads back to a folder that it stands in."""
    if not path.is_symlink():
        return True
    target = path.resolve()
    if target in followed or path.parent.resolve().is_relative_to(target):
        return False
    followed.add(target)
    return True


def _hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _named(names: list[tuple[str, ...]], part: tuple[str, ...]) -> bool:
    return any(_place(name, part) >= 0 for name in names)


def _place(name: tuple[str, ...], part: tuple[str, ...]) -> int:
    """Where the name stands in the words of a part, or -1."""
    starts = range(len(part) - len(name) + 1)
    return next((start for start in starts if part[start : start + len(name)] == name), -1)


def _without(names: list[tuple[str, ...]], part: tuple[str, ...]) -> tuple[str, ...]:
    for name in sorted(names, key=len, reverse=True):
        if (start := _place(name, part)) >= 0:
            return part[:start] + part[start + len(name) :]
    return part
