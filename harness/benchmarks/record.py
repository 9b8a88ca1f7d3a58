"""What a general benchmark is: a data set, how a row of it is asked, and how the answer is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Row = Mapping[str, Any]

SUBJECT = "subject"
"""The column under which every row of a set with subjects says its own, whichever way its file told it."""

Scoring = Literal["choice", "mass", "continuation", "generation", "instructions"]

Draw = Literal["random", "random others", "first"]
"""How lm-eval draws shots: anew for each item; the same without the item itself; the first rows of the split."""


@dataclass(frozen=True)
class Question:
    """One row as it is asked, without shots.

    ``choices`` with the index ``target`` are multiple choice; ``right`` holds all right indexes where several are.
    ``ending`` is a text that is scored after ``text``, or after each of the choices, which then are openings.
    ``references`` are gold answers in free text, ``data`` what a rule needs beside the answer.
    """

    text: str
    choices: tuple[str, ...] = ()
    target: int | None = None
    right: tuple[int, ...] = ()
    ending: str = ""
    references: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = ""


@dataclass(frozen=True)
class Form:
    """One way in which a set is handed out: what is asked by a row that has these ``fields``.

    A form that tells no subject is asked without the description that would name it.
    """

    fields: tuple[str, ...]
    question: Callable[[Row], Question]
    with_subject: bool = True


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. Its name, prompts and shots are those of lm-eval's task of this ``version``.

    ``path``, ``config`` and ``split`` name the data on the hub; a set of ``subjects`` has one config for each, and
    their values fill ``description``, which opens every prompt; ``only`` is the subject that is asked where it is one.
    A ``preamble`` is the same before every question, in its own turn. ``forms`` are tried in their order, the hub's
    first. ``folders`` are other names that files and folders of the set go by, ``split_names`` other names of the
    split, and ``columns`` those of a CSV file that has no header. ``label`` is the field that the original keeps in a
    file of its own (``valid-labels.lst``), ``subject_field`` the one that tells the subject where no file or folder
    does, ``identity`` one that no two rows share.
    """

    name: str
    path: str
    split: str
    forms: tuple[Form, ...]
    metrics: tuple[str, ...]
    licence: str
    version: str
    scoring: Scoring = "choice"
    config: str | None = None
    shots: int = 0
    shots_split: str = ""
    draw: Draw = "random"
    subjects: Mapping[str, str] = field(default_factory=dict)
    only: str = ""
    subject_field: str = ""
    description: str = ""
    preamble: str = ""
    folders: tuple[str, ...] = ()
    split_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    label: str = ""
    identity: str = ""
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 0

    @property
    def asked_subjects(self) -> tuple[str, ...]:
        """The subjects that are asked, in their order; one without a name where the set has none."""
        return (self.only,) if self.only else tuple(self.subjects) or ("",)
