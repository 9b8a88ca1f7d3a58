"""Whether the prompts of a benchmark fit into a model's positions, which can be told before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.engine.tokens import split_pair
from harness.errors import DataError
from harness.metrics.asking import Asking
from harness.models.base import Model
from harness.records import Messages, Sample, SampleSet
from harness.requests import scored_pairs

if TYPE_CHECKING:
    from harness.models.local import LocalModel


def require_room(model: Model, samples: SampleSet, asking: Asking) -> None:
    """Refuse prompts behind which the model has no positions left for an answer; an engine without ``room`` has any.

    Raises DataError, which says how many they are.
    """
    room: Callable[[Messages | str], int] | None = getattr(model, "room", None)
    if room is None:
        return
    left = {each.id: room(each.messages if asking.chat else each.prompt) for each in samples}
    full = [sample for sample, tokens in left.items() if tokens < asking.max_new_tokens]
    if full:
        tightest = min(full, key=left.__getitem__)
        raise DataError(
            f"{samples.name}: {len(full)} of {len(samples)} prompts leave no room for {asking.max_new_tokens} new "
            f"tokens in {model.name}, the longest ({tightest}) for {max(0, left[tightest])}; ask with fewer shots "
            "where the set has any, or give a lower --max-new-tokens."
        )


def beginnings_lost(model: Model, samples: SampleSet, *, chat: bool) -> int:
    """How many samples have more tokens than the model has positions: their prompts lose their beginning, shots first.

    As in lm-eval, so the numbers are the same ones; but five shots are then no five shots.
    """
    from harness.models.local import LocalModel

    return sum(_is_cut(model, sample, chat) for sample in samples) if isinstance(model, LocalModel) else 0


def _is_cut(model: LocalModel, sample: Sample, chat: bool) -> bool:
    pairs = [(model.context(context), scored) for context, scored in scored_pairs(sample, chat=chat)]
    context, scored = max(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    longest = len((context + scored).encode())  # no token is shorter than a byte
    if longest <= model.longest:
        return False
    return len(split_pair(model.tokenizer, context, scored, longest).ids) > model.longest + 1
