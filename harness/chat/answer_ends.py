"""How answers end: each of them, once, and with nothing that nobody asked for behind it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from harness.chat.control import control_ids_in, name_token, plain_ids
from harness.chat.endings import unasked_header
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, Frame, frame
from harness.chat.probe import ChatProbe
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def every_answer_ends_once(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Answers of earlier turns end as the last one does, no end is written twice, and no next turn is opened."""
    single = frame(tokenizer, ONE_TURN, parts=habits.parts)
    several = frame(tokenizer, SEVERAL_TURNS, parts=habits.parts)
    if single is None:
        return []
    opened = unasked_header(single, frame(tokenizer, (*ONE_TURN, "user"), parts=habits.parts))
    if opened:
        return [_opens_a_turn(single, opened)]
    unended = [] if several is None else _earlier_answers_end(tokenizer, several)
    doubled = (_no_end_is_doubled(tokenizer, shown, habits) for shown in (single, several) if shown is not None)
    return unended or next(filter(None, doubled), [])


def _opens_a_turn(shown: Frame, opened: str) -> Finding:
    return Finding(
        "the template opens another assistant turn after an answer, although no prompt was asked for",
        "the end of a training row: user, assistant, with add_generation_prompt=False",
        "the end of the answer, and at most white space",
        f"{shown.literals[-1]!r}; {opened!r} at its end is what opens an answer",
        "put the assistant's header at the end of tokenizer.chat_template into "
        "{% if add_generation_prompt %}...{% endif %}",
    )


def _earlier_answers_end(tokenizer: PreTrainedTokenizerBase, shown: Frame) -> list[Finding]:
    """The first control token after an earlier answer ends it: one of the last answer's, or what ends a question."""
    _, after_user, after_earlier, _, after_last = shown.literals
    last = control_ids_in(tokenizer, after_last)
    earlier = control_ids_in(tokenizer, after_earlier)
    if not last or set(earlier[:1]) & {*last, *control_ids_in(tokenizer, after_user)[:1]}:
        return []
    return [
        Finding(
            "only the last answer of a conversation is ended",
            f"the conversation {', '.join(SEVERAL_TURNS)}: what stands after its first answer",
            f"{name_token(tokenizer, last[0])}, as after the last answer",
            f"{after_earlier!r}, whose first control token is "
            + (name_token(tokenizer, earlier[0]) if earlier else "missing"),
            "let tokenizer.chat_template end every answer, not only where loop.last is true",
        )
    ]


def _no_end_is_doubled(tokenizer: PreTrainedTokenizerBase, shown: Frame, habits: ChatProbe) -> list[Finding]:
    for literal in shown.literals[2::2]:
        # Next to each other: an end of the turn and, on a line of its own, one of the whole text are usual.
        written = plain_ids(tokenizer, literal)
        last = literal is shown.literals[-1]
        # A token that ends sequences and begins them may well end one turn and begin the next.
        ends = habits.closing_ids if last else habits.closing_ids - {tokenizer.bos_token_id}
        twice = next((one for one, other in pairwise(written) if one == other and one in ends), None)
        if twice is not None:
            return [
                Finding(
                    "the template ends an answer twice",
                    "what it writes after an answer",
                    f"{name_token(tokenizer, twice)} once",
                    f"{literal!r}",
                    "take one of the two out of tokenizer.chat_template, most often {{ eos_token }} beside the same "
                    "token spelled out",
                )
            ]
    return []
