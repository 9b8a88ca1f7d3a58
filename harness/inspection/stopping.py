"""Where generation stops: the generation config against the token that ends a turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.chat.control import control_ids, name_token, plain_ids
from harness.inspection.checkpoint import Checkpoint
from harness.inspection.room import answers_have_room
from harness.models.stated_ids import id_set
from harness.records import Finding


def terminator_stops_generation(saved: Checkpoint) -> list[Finding]:
    """Generation stops on the token that ends an assistant turn, and on no token that ordinary text is made of.

    The terminator is no part of the text that is shown.
    """
    tokenizer, habits, stop_ids = saved.tokenizer, saved.habits, saved.stop_ids
    findings = [*_stops_on_ordinary_text(saved), *_terminator_is_shown(saved)]
    if habits.terminator_id is None or habits.terminator_id in stop_ids:
        return findings
    stops = ", ".join(name_token(tokenizer, i) for i in sorted(stop_ids)) or "nothing"
    return [
        *findings,
        Finding(
            "generation does not stop where the template ends a turn",
            "generation_config.eos_token_id",
            f"to hold {name_token(tokenizer, habits.terminator_id)}",
            f"stops on {stops}",
            f"set model.generation_config.eos_token_id to [{habits.terminator_id}, ...] and save it with the model",
        ),
    ]


def _stops_on_ordinary_text(saved: Checkpoint) -> list[Finding]:
    tokenizer = saved.tokenizer
    controls = control_ids(tokenizer)
    return [
        Finding(
            "generation stops on a token of ordinary text",
            "generation_config.eos_token_id",
            "control tokens only",
            name_token(tokenizer, stop_id),
            f"take {stop_id} out of generation_config.eos_token_id: answers would break off at this text",
        )
        for stop_id in sorted(saved.stop_ids)
        if 0 <= stop_id < len(tokenizer) and stop_id not in controls
    ]


def _terminator_is_shown(saved: Checkpoint) -> Iterator[Finding]:
    """Whoever decodes an answer leaves its special tokens out; a terminator that is none stays in the text."""
    tokenizer, habits = saved.tokenizer, saved.habits
    if habits.terminator_id is None or not habits.terminator.strip():
        return
    answer = [*plain_ids(tokenizer, "Yes"), habits.terminator_id]
    shown = str(tokenizer.decode(answer, skip_special_tokens=True))
    if habits.terminator.strip() in shown:
        yield Finding(
            "the token that ends a turn stays in the text of the answer",
            "an answer decoded with skip_special_tokens=True",
            "'Yes'",
            f"{shown!r}: {name_token(tokenizer, habits.terminator_id)} is not a special token",
            f'call tokenizer.add_special_tokens({{"extra_special_tokens": [{habits.terminator!r}]}}) and save the '
            "tokenizer",
        )


def nothing_holds_the_terminator_back(saved: Checkpoint) -> list[Finding]:
    """The model may answer and end its answer as it likes: no least length, no ban on the terminator, no forced token.

    Neither is it cut short: there is room for an answer.
    A ban at the first position alone (``begin_suppress_tokens``) only forbids empty answers, which is legitimate.
    """
    token, config = saved.habits.terminator_id, saved.generation_config
    return [
        Finding(
            "the generation config keeps the model from ending its answer",
            f"generation_config.{key}",
            f"nothing that forbids the terminator {saved.habits.terminator!r} (id {token})",
            repr(getattr(config, key)),
            f"remove {key} from generation_config.json, or pass it only to the call that needs it",
        )
        for key in _holding_back(config, token)
    ] + answers_have_room(saved)


def _holding_back(config: Any, token: int | None) -> Iterator[str]:
    for key in ("min_length", "min_new_tokens"):
        if (getattr(config, key, None) or 0) > 1:
            yield key
    if token in id_set(getattr(config, "suppress_tokens", None)):
        yield "suppress_tokens"
    if [token] in (getattr(config, "bad_words_ids", None) or ()):
        yield "bad_words_ids"
    if any(list(ids) == [token] and bias < 0 for ids, bias in _biases(config)):
        yield "sequence_bias"
    if getattr(config, "forced_bos_token_id", None) is not None:
        yield "forced_bos_token_id"


def _biases(config: Any) -> list[tuple[Any, float]]:
    """``sequence_bias`` is a dict from tuples of ids, or a list of pairs where it comes from a JSON file."""
    stated = getattr(config, "sequence_bias", None) or {}
    return list(stated.items()) if isinstance(stated, dict) else [(ids, bias) for ids, bias in stated]
