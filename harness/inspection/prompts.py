"""What stands before an answer in training is what the model is prompted with at inference, and it learns all the rest.

At inference a model gets the conversation so far and the generation prompt, and must write everything that follows. So
in a training row the ids before an answer are that prompt's, and every id after them is supervised: a token in between
that is masked is neither given nor taught.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from harness.chat.control import control_ids, first_difference, name_token, quoted, token_text
from harness.chat.conversation import PlainText
from harness.chat.template import REFUSALS, encode_all, render
from harness.chat.tokens import AT_ONCE, tokens_of
from harness.chat.turns import Turn
from harness.inspection.batches import IGNORED
from harness.inspection.mask import wanted_turns
from harness.inspection.matching import Inspection, place
from harness.inspection.origins import Match
from harness.records import Finding, Message


def answers_follow_the_prompt(seen: Inspection) -> list[Finding]:
    """Every answer that is learned follows the prompt of inference, and nothing stands unlearned between the two."""
    findings = []
    for options, group in groupby(_asked(seen), key=lambda asked: asked.options):
        while some := list(islice(group, AT_ONCE)):
            prompts = encode_all(seen.serving, [each.before for each in some], generation_prompt=True, **options)
            for each, prompt in zip(some, prompts, strict=True):
                findings += _after_the_prompt(seen, each.match, each.turn, prompt)
    return findings


@dataclass(frozen=True)
class _Asked:
    """A turn of a document, and what the model is served with where it is to be answered."""

    match: Match
    turn: Turn
    before: tuple[Message, ...]
    options: dict[str, Any]


def _asked(seen: Inspection) -> Iterator[_Asked]:
    """Every answer that is learned and whose prompt the template does not refuse."""
    for match in seen.matches:
        source = seen.conversation_of(match)
        if source is None or match.offset or match.likeness not in ("whole", "cut"):
            continue
        options: dict[str, Any] = dict(source.options)
        if seen.serving_options is not None:
            options = {"tools": options["tools"]} if "tools" in options else {}
            options |= seen.serving_options
        for turn in wanted_turns(match, seen):
            before = tuple(source.messages[: turn.message])
            try:
                render(seen.serving, before, generation_prompt=True, **options)
            except REFUSALS:
                continue
            yield _Asked(match, turn, before, options)


def _after_the_prompt(seen: Inspection, match: Match, turn: Turn, prompt: list[int]) -> list[Finding]:
    ids, labels = match.segment.ids, match.segment.labels
    shared = first_difference(prompt, ids)
    if _goes_further(seen, match, prompt, shared):
        return [_another_prompt(seen, match, shared, prompt)]
    if shared < min(turn.earliest, len(ids)) and (shared < len(prompt) or not _is_header(seen, match, turn, shared)):
        return [_another_prompt(seen, match, shared, prompt)]
    learned = [i for i in range(shared, min(turn.end, len(labels))) if labels[i] != IGNORED]
    between = [
        i
        for i in range(max(shared, 1), min(learned[0] if learned else shared, turn.start))
        if token_text(seen.tokenizer, ids[i]).strip(
            " "
        )  # a space belongs to the word after it, if it is a token or not
    ]
    return [_never_learned(seen, match, between, shared)] if between else []


def _goes_further(seen: Inspection, match: Match, prompt: list[int], shared: int) -> bool:
    """Whether inference, as it was declared, opens the answer with text that the row has not.

    Undeclared, that is what the prompts of reasoning models do on purpose: they open a block which rows leave out.
    """
    whole = shared < len(match.segment.ids)  # a row may be cut before its answer
    left = token_text(seen.serving, prompt[shared:]).strip()
    return seen.serving_options is not None and whole and bool(left)


def _is_header(seen: Inspection, match: Match, turn: Turn, shared: int) -> bool:
    """Whether what stands between a prompt that ends early and the answer is learned: the model writes it itself."""
    return all(
        label != IGNORED or not token_text(seen.tokenizer, token).strip()
        for token, label in zip(
            match.segment.ids[shared : turn.earliest], match.segment.labels[shared : turn.earliest], strict=True
        )
    )


def _another_prompt(seen: Inspection, match: Match, shared: int, prompt: list[int]) -> Finding:
    at_inference = quoted(seen.serving, prompt[shared : shared + 8]) or "the end of the prompt"
    return Finding(
        "what stands before an answer in training is not what the model is prompted with at inference",
        f"{place(match, shared)}, after {quoted(seen.tokenizer, match.segment.ids[max(0, shared - 6) : shared])}",
        f"as at inference: {at_inference}",
        f"in training: {quoted(seen.tokenizer, match.segment.ids[shared : shared + 8])}",
        "train with the chat template and the template variables (chat_template_kwargs) that the model is served with",
    )


def _never_learned(seen: Inspection, match: Match, between: list[int], shared: int) -> Finding:
    first = match.segment.ids[between[0]]
    return Finding(
        "tokens stand between the prompt of inference and the first token that is learned",
        f"{place(match, between[0])}, {name_token(seen.tokenizer, first)}",
        f"all after the prompt's {shared} tokens supervised: at inference the model has to write them itself",
        f"{len(between)} masked tokens {quoted(seen.tokenizer, [match.segment.ids[i] for i in between[:8]])}",
        "let the generation prompt write them (add_generation_prompt, chat_template_kwargs at inference), or supervise "
        "them with the answer",
    )


def prompts_end_where_answers_begin(seen: Inspection) -> list[Finding]:
    """In rows of plain text, no token holds the end of the prompt and the beginning of the completion."""
    found = [(match, _prompt_of_text(seen, match)) for match in seen.matches if match.likeness in ("whole", "cut")]
    with_prompts = [(match, prompt) for match, prompt in found if prompt]
    alone = tokens_of(seen.tokenizer, [prompt for _, prompt in with_prompts], add_special_tokens=True)
    merged = []
    for (match, _), prompt in zip(with_prompts, alone, strict=True):
        ends = _without_ending(prompt.ids, match.segment.ids)
        shared = first_difference(ends, match.segment.ids)
        if shared < min(len(ends), len(match.segment.ids)):
            merged.append((match, shared, ends))
    return [_merged(seen, *merged[0], count=len(merged))] if merged else []


def texts_open_the_answer(seen: Inspection) -> list[Finding]:
    """Rows of text that are written in the template's control tokens open the assistant's turn as the template does.

    A prompt that was rendered beforehand ends with the generation prompt; a text, or ids alone, hold some such turn.
    """
    header = set(seen.habits.generation_prompt_ids) & control_ids(seen.tokenizer)
    if not header:
        return []
    written = [match for match in seen.matches if _is_text(seen, match) and header & set(match.segment.ids)]
    wrong = [match for match in written if not _opens(seen, match)]
    if len(wrong) < len(written):
        return []  # pieces of longer texts, some of which open no turn
    return [
        Finding(
            "a row in the chat template's tokens does not open the assistant's turn as the template does",
            f"{place(match, 0)}; {len(wrong)} rows like it",
            f"{quoted(seen.tokenizer, seen.habits.generation_prompt_ids)} before the answer",
            f"{_before_the_answer(seen, match)}",
            "render prompts with add_generation_prompt=True, and name the assistant's role as the template does; or "
            "give the trainer messages and let it render them",
        )
        for match in wrong[:1]
    ]


def _is_text(seen: Inspection, match: Match) -> bool:
    return match.likeness in ("whole", "cut", "unknown") and seen.conversation_of(match) is None


def _opens(seen: Inspection, match: Match) -> bool:
    """Whether the generation prompt, its white space at the end aside, stands before the answer, or anywhere."""
    text = token_text(seen.tokenizer, match.segment.ids)
    prompt = _prompt_of_text(seen, match)
    openings = {seen.habits.generation_prompt.rstrip(), seen.habits.assistant_header.rstrip()}
    return any(prompt.rstrip().endswith(opening) if prompt else opening in text for opening in openings)


def _before_the_answer(seen: Inspection, match: Match) -> str:
    prompt = _prompt_of_text(seen, match)
    return repr(prompt[-60:]) if prompt else quoted(seen.tokenizer, match.segment.ids[:16])


def _prompt_of_text(seen: Inspection, match: Match) -> str:
    source = seen.source_of(match)
    return source.prompt if isinstance(source, PlainText) and source.has_prompt and not match.offset else ""


def _without_ending(prompt: tuple[int, ...], row: tuple[int, ...]) -> tuple[int, ...]:
    """The prompt's ids without what the tokenizer puts at the end of every text (an eos token, say)."""
    ending = 0
    while ending < len(prompt) and prompt[len(prompt) - 1 - ending] == row[len(row) - 1 - ending]:
        ending += 1
    shared = first_difference(prompt, row)
    return prompt[: max(shared, len(prompt) - ending)]


def _merged(seen: Inspection, match: Match, shared: int, prompt: tuple[int, ...], count: int) -> Finding:
    return Finding(
        "the end of the prompt and the beginning of the answer are one token in training and two at inference",
        f"{place(match, shared)}; {count} rows like it",
        f"{quoted(seen.tokenizer, prompt[shared:])}, with which the prompt ends by itself",
        f"{name_token(seen.tokenizer, match.segment.ids[shared])} where prompt and completion are joined",
        "move the white space from the end of the prompt to the beginning of the completion",
    )
