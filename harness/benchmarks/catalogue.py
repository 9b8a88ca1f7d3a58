"""Every benchmark by its name, and what ``--benchmarks`` makes of a list of names."""

from __future__ import annotations

import difflib
from dataclasses import replace

from harness.benchmarks.causes import CAUSES
from harness.benchmarks.code import CODE
from harness.benchmarks.commonsense import COMMONSENSE
from harness.benchmarks.exams import EXAMS
from harness.benchmarks.generated import GENERATED
from harness.benchmarks.language import LANGUAGE
from harness.benchmarks.record import Benchmark
from harness.benchmarks.science import SCIENCE
from harness.benchmarks.truthful import TRUTHFUL
from harness.errors import UsageError

ALL = (*SCIENCE, *COMMONSENSE, *CAUSES, *LANGUAGE, *CODE, *TRUTHFUL, *EXAMS, *GENERATED)

BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in ALL}

SMALL = ("arc_easy", "copa", "lambada_openai", "piqa")
"""On these a model of 135 million parameters is clearly above chance, and they are scored within minutes.

BLiMP would be a fifth, but its 67,000 pairs take longer than the others together.
"""


def chosen(text: str) -> tuple[Benchmark, ...]:
    """Return the benchmarks that a list names: ``small``, ``arc_easy,mmlu_anatomy``, ``arc_challenge:25`` (25 shots).

    Raises UsageError for a name that is unknown, with the nearest known ones, and for one that is named twice.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise UsageError(f"--benchmarks {text!r} names none; write names such as arc_easy,piqa or small.")
    names = [name for entry in entries for name in (SMALL if entry == "small" else (entry,))]
    found = tuple(_with_shots(name) for name in names)
    for benchmark in found:
        if [each.name for each in found].count(benchmark.name) > 1:
            raise UsageError(
                f"--benchmarks names {benchmark.name} twice, and its measurements are called so; keep one."
            )
    return found


def answered_within(benchmarks: tuple[Benchmark, ...], longest: int) -> tuple[Benchmark, ...]:
    """Return them with another limit of new tokens where answers are written out; UsageError where none are."""
    if not any(benchmark.max_new_tokens for benchmark in benchmarks):
        known = ", ".join(name for name, benchmark in BENCHMARKS.items() if benchmark.max_new_tokens)
        raise UsageError(f"--max-new-tokens is for benchmarks whose answers are written out: {known}; name one.")
    return tuple(replace(each, max_new_tokens=longest) if each.max_new_tokens else each for each in benchmarks)


def benchmark_called(name: str) -> Benchmark:
    """Return the set of this name, or the subject of a set that lm-eval calls so: ``mmlu_anatomy``, ``xcopa_zh``."""
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    for whole in BENCHMARKS.values():
        subject = name.removeprefix(f"{whole.name}_")
        if subject in whole.subjects:
            return replace(whole, name=name, only=subject, folders=(whole.name, *whole.folders))
    raise UsageError(f"--benchmarks: there is no benchmark {name!r}; {_nearest(name)}")


def _with_shots(entry: str) -> Benchmark:
    name, colon, shots = entry.partition(":")
    benchmark = benchmark_called(name)
    if not colon:
        return benchmark
    if not shots.isdecimal():
        raise UsageError(f"--benchmarks {entry}: write NAME:SHOTS with a whole number, as in arc_challenge:25.")
    if int(shots) and not benchmark.shots_split:
        raise UsageError(f"--benchmarks {entry}: {name} has no split to take shots from; ask it without, as {name}.")
    return replace(benchmark, shots=int(shots))


def _nearest(name: str) -> str:
    parts = [f"{whole.name}_{subject}" for whole in BENCHMARKS.values() for subject in whole.subjects]
    near = difflib.get_close_matches(name, [*BENCHMARKS, "small", *parts], n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(BENCHMARKS)} and small."
