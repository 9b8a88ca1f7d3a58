"""What a model is asked, and what of it goes to the model: never what it has answered before.

An answer is kept under a key of all that it depends on: who answers (weights, adapter, configuration, tokenizer, kind
of device, dtype, the code of this engine and of its libraries) and what is asked, in token ids. A changed chat template
changes the ids, so it never meets an old answer. How rows were batched is no part of the key: it moves no answer by
more than the noise that the gate allows for. Checks that measure just that noise ask ``afresh``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.engine.tokens import Scores
from harness.models.base import Completion
from harness.provenance import files_digest, object_digest, versions
from harness.store import Answers, Memory

Answer = TypeVar("Answer")
Asked = TypeVar("Asked")

LIBRARIES = ("torch", "transformers", "peft", "pytest-sft")
"""Packages of which another version may compute something else."""

CODE = ("config.json", "adapter_config.json", "*.py")
"""Files beside a checkpoint's weights that decide what is computed with them."""


@dataclass(frozen=True)
class Kept:
    """Where a model's answers are kept, and ``by``, a digest of who answers."""

    answers: Answers = field(default_factory=Memory)
    by: str = ""


@dataclass(frozen=True)
class Form(Generic[Answer]):
    """One kind of question, and its answers as bytes."""

    name: str
    pack: Callable[[Answer], bytes]
    unpack: Callable[[bytes], Answer]


def answered(
    kept: Kept,
    form: Form[Answer],
    questions: Sequence[Any],
    ask: Callable[[list[int]], Iterable[Mapping[int, Answer]]],
) -> list[Answer]:
    """The answer to each question, which is anything that JSON can say.

    ``ask`` gets the places of those that are not kept yet, equal ones once, and yields answers by place as they are
    finished; each is kept before the next one is waited for, so that whatever ends the run, none is lost.
    """
    keys = [_key(kept.by, form.name, question) for question in questions]
    places = {key: place for place, key in reversed(list(enumerate(keys)))}
    answers = {key: form.unpack(packed) for key, packed in kept.answers.get(list(places)).items()}
    missing = sorted(place for key, place in places.items() if key not in answers)
    for finished in ask(missing) if missing else ():
        new = {keys[place]: answer for place, answer in finished.items()}
        kept.answers.add({key: form.pack(answer) for key, answer in new.items()})
        answers |= new
    return [answers[key] for key in keys]


def afresh(model: Asked) -> Asked:
    """The same model without a memory, where it has one: what it is asked twice it computes twice."""
    return model.afresh() if hasattr(model, "afresh") else model


def who_answers(folders: Sequence[Path], digests: Mapping[str, str], device: str, dtype: str) -> str:
    """A digest of all that answers depend on besides the questions; ``folders`` hold the checkpoint and its adapter."""
    known = versions()
    return object_digest(
        {
            "engine": _engine(),
            "libraries": {name: known[name] for name in LIBRARIES},
            "digests": dict(digests),
            "files": [files_digest(folder, CODE) for folder in folders],
            "device": device,
            "dtype": dtype,
        }
    )


@functools.cache
def _engine() -> list[str]:
    """The version of the engine: its own code, so that nobody has to remember to raise a number."""
    models = Path(__file__).parent
    return [files_digest(folder, ("*.py",)) for folder in (models.parent / "engine", models)]


def _key(by: str, form: str, question: Any) -> bytes:
    return hashlib.sha256(json.dumps([by, form, question]).encode()).digest()


def _pack_scores(scores: Scores) -> bytes:
    values, greedy = [value for value, _ in scores], [likely for _, likely in scores]
    return struct.pack(f"<{len(scores)}d{len(scores)}?", *values, *greedy)


def _unpack_scores(packed: bytes) -> Scores:
    count = len(packed) // struct.calcsize("<d?")
    flat = struct.unpack(f"<{count}d{count}?", packed)
    return list(zip(flat[:count], flat[count:], strict=True))


def _pack_completion(answer: Completion) -> bytes:
    return json.dumps([answer.text, answer.raw, answer.ids, answer.finish], separators=(",", ":")).encode()


def _unpack_completion(packed: bytes) -> Completion:
    text, raw, ids, finish = json.loads(packed)
    return Completion(text, raw, tuple(ids), finish)


SCORES = Form("scores", _pack_scores, _unpack_scores)
COMPLETION = Form("completion", _pack_completion, _unpack_completion)
