"""The keys of a recipe that trl has no name for: peft's other methods, replay, EWC, and stages of continual tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExtraKeys:
    """What a recipe may say beyond trl's keys; None (or 0) where it does not.

    ``peft_type`` names a method of peft as its ``adapter_config.json`` does (``IA3``, ``PREFIX_TUNING``), and
    ``peft_config`` holds that method's own settings, by peft's names; LoRA has trl's keys instead.

    ``replay_dataset_name`` names general rows that are mixed in, ``replay_share`` their share of the consumed tokens
    (above 0 and below 1).

    ``ewc_lambda`` is the strength of the EWC penalty, ``ewc_dataset_name`` the rows on which the Fisher information is
    estimated, ``ewc_rows`` how many of them at most.

    ``stages`` lists stages of continual tuning: each a mapping with a ``name``, the ``samples`` that judge it, and the
    recipe's keys that differ in it.
    """

    peft_type: str | None = None
    peft_config: Mapping[str, Any] | None = None
    replay_dataset_name: str | None = None
    replay_share: float | None = None
    ewc_lambda: float | None = None
    ewc_dataset_name: str | None = None
    ewc_rows: int | None = None
    stages: list[Any] | None = None


NAMES = tuple(field.name for field in dataclasses.fields(ExtraKeys))


def extra_keys(values: Mapping[str, Any]) -> ExtraKeys:
    """Take these keys out of a recipe's values, as they are."""
    return ExtraKeys(**{name: values[name] for name in NAMES if values.get(name) is not None})


def trl_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all other keys of a recipe's values: those that trl knows."""
    return {name: value for name, value in values.items() if name not in NAMES}
