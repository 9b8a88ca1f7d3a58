"""What must hold of a tokenizer and its chat template before a single row is trained. Empty lists: it holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from harness.chat.control import (
    MARKER,
    control_ids,
    first_difference,
    name_token,
    plain_ids,
    token_text,
)
from harness.chat.frame import REFUSALS, Frame, frame, sentinel_messages, sentinels, split_at
from harness.chat.probe import ChatProbe, leading_bos
from harness.chat.template import encode, render
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ONE_TURN = ("user", "assistant")
SEVERAL_TURNS = ("user", "assistant", "user", "assistant")

PROBE_TEXTS = (
    "The year 2023 saw 650841823 visitors; don't ask why.",
    "it 's , ok . n't",
    "def f(x):\n\tif x > 0:\n        return {'a': [1, 2.5e-3]}\n\n\n",
    "今天天气很好，我们去公园吧。",
    "naïve café, Zoë — “quoted” … €5",
    "🙂👩‍👩‍👧 ok",
    "two  spaces,   three",
)
"""Texts on which tokenizers are known to differ: digits, clitics, code, Chinese, accents, emoji, runs of spaces."""

FIRST_WORDS = ("The", "A", "I", "It", "Yes", "To", "1", "好")
"""Words that answers often begin with, and that vocabularies often hold together with a space before them."""

TAGS_ONLY = re.compile(r"\s*(<[^<>]+>\s*)+")
"""Scaffolding such as ``<think>``: a generation prompt may open it for the model. A role's name is not scaffolding."""


def control_strings_are_atomic(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Every special token, and every marker that the template writes, is one id of its own."""
    return [
        *_special_tokens_are_atomic(tokenizer),
        *_turn_ends_by_a_control_token(tokenizer, habits),
        *_markers_are_atomic(tokenizer, habits),
    ]


def _special_tokens_are_atomic(tokenizer: PreTrainedTokenizerBase) -> list[Finding]:
    findings = []
    for text, token_id in zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True):
        ids = plain_ids(tokenizer, str(text))
        if ids != [token_id]:
            findings.append(
                Finding(
                    f"the special token {str(text)!r} is not one token",
                    "tokenizer.all_special_tokens",
                    f"one id, {token_id}",
                    f"{len(ids)} ids, {ids[:8]}",
                    "add it to the vocabulary with tokenizer.add_special_tokens, or load the tokenizer files of the "
                    "base model again",
                )
            )
    return findings


def _turn_ends_by_a_control_token(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    if habits.terminator_id is not None:
        return []
    shown = frame(tokenizer, ONE_TURN, parts=habits.parts)
    written = shown.literals[-1] if shown else ""
    pieces = [token_text(tokenizer, i) for i in plain_ids(tokenizer, written)]
    return [
        Finding(
            "no control token ends an assistant turn, so the model can never learn to stop",
            f"the text {written!r} that the template writes after an answer",
            "a control token of the vocabulary, such as the eos token",
            f"{len(pieces)} ordinary tokens {pieces[:8]}",
            "add the template's end-of-turn string to the tokenizer as a special token, "
            "or let the template end answers with {{ eos_token }}",
        )
    ]


def _markers_are_atomic(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A marker in bars is one token; only where it is no more than a role's name does it read as text as well."""
    controls = control_ids(tokenizer)
    findings = []
    for marker in sorted(_markers(tokenizer, habits)):
        ids = plain_ids(tokenizer, marker)
        names_a_role = marker[2:-2].lower() in {"system", "user", "assistant", "tool"}
        if names_a_role or (len(ids) == 1 and ids[0] in controls):
            continue
        findings.append(
            Finding(
                f"the template writes {marker!r}, which is not one token",
                "the text that the template puts around messages",
                "one id of the added vocabulary",
                f"{len(ids)} ids {[token_text(tokenizer, i) for i in ids][:8]}",
                f"add {marker!r} to the tokenizer as a special token and resize the embeddings, "
                "or use the template that belongs to this tokenizer",
            )
        )
    return findings


def _markers(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> set[str]:
    found: set[str] = set()
    for roles in (ONE_TURN, SEVERAL_TURNS, ("system", *ONE_TURN)):
        shown = frame(tokenizer, roles, parts=habits.parts)
        if shown is not None:
            found.update(marker for literal in shown.literals for marker in MARKER.findall(literal))
    return found | set(MARKER.findall(habits.generation_prompt))


def messages_survive(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Every content comes out of rendering and tokenisation once and in order; a role is taken or refused, not lost."""
    conversations: list[Sequence[str]] = [ONE_TURN]
    if habits.roles["system"] != "refused":
        conversations.append(("system", *ONE_TURN))
    if habits.continues:
        conversations.append(SEVERAL_TURNS)
        conversations.append((*SEVERAL_TURNS, "user"))
    findings = []
    for roles in conversations:
        try:
            ids = encode(tokenizer, sentinel_messages(roles, habits.parts))
        except REFUSALS:
            continue
        text = token_text(tokenizer, ids)
        words = sentinels(roles)
        if split_at(text, words) is not None:
            continue
        wrong = [f"{role} ({text.count(word)} times)" for role, word in zip(roles, words, strict=True)]
        findings.append(
            Finding(
                "the template loses, doubles or reorders messages",
                f"a conversation of {', '.join(roles)}",
                "each content once, in the order of the messages",
                f"{', '.join(wrong)} in {text[:120]!r}",
                "repair the loop over messages in tokenizer.chat_template; a role that is not supported should raise",
            )
        )
    return findings


def bos_is_single(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A row and a prompt start with the same number of BOS tokens, none or one."""
    findings = []
    user = sentinel_messages(["user"], habits.parts)
    prompt_run = leading_bos(encode(tokenizer, user, generation_prompt=True), tokenizer.bos_token_id)
    for what, run in (("a training row", habits.bos_run), ("a prompt of inference", prompt_run)):
        if run > 1:
            findings.append(
                Finding(
                    f"{what} starts with {run} BOS tokens",
                    "the ids of apply_chat_template",
                    "none or one",
                    f"{run} times {tokenizer.bos_token!r}",
                    "write bos_token in the template or let the tokenizer add it, not both",
                )
            )
    if prompt_run != habits.bos_run:
        findings.append(
            Finding(
                "training rows and prompts of inference start differently",
                "the leading BOS tokens",
                f"as many as in a training row: {habits.bos_run}",
                f"{prompt_run} in a prompt",
                "write bos_token in the template whether or not add_generation_prompt is set",
            )
        )
    return findings


def generation_prompt_opens_the_turn(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """What the model is prompted with is what training rows have before the answer, for one turn and for several.

    A prompt may go further than the rows by scaffolding that it opens for the model (``<think>``), and rows may write
    scaffolding that the model is left to generate; the header that names the role belongs to both. Only the last turn
    is compared: templates of reasoning models write the turns before it differently on purpose.
    """
    findings = []
    for roles in (ONE_TURN, SEVERAL_TURNS) if habits.continues else (ONE_TURN,):
        shown = frame(tokenizer, roles, parts=habits.parts)
        if shown is not None:
            findings += _prompt_agrees(tokenizer, roles, shown, habits)
    return findings or _first_words_stay_apart(tokenizer, habits)


def _first_words_stay_apart(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """No first word of an answer swallows the end of the prompt: ``Assistant: `` and ``Yes`` must not be `` Yes``."""
    (user,) = sentinel_messages(["user"], habits.parts)
    prompt = render(tokenizer, [user], generation_prompt=True)
    prompt_ids = encode(tokenizer, [user], generation_prompt=True)
    for word in FIRST_WORDS:
        answer = {"role": "assistant", "content": [{"type": "text", "text": word}] if habits.parts else word}
        row_ids = encode(tokenizer, [user, answer])
        shared = first_difference(prompt_ids, row_ids)
        if shared < len(prompt_ids) and render(tokenizer, [user, answer]).startswith(prompt + word):
            return [
                Finding(
                    "the generation prompt ends in a character that training joins with the answer's first word",
                    f"token {shared} of the prompt",
                    f"{token_text(tokenizer, row_ids[shared : shared + 2])!r}, as in training rows",
                    f"{token_text(tokenizer, prompt_ids[shared:])!r}, and then {word!r}",
                    "take the white space at the end of the generation prompt out of tokenizer.chat_template",
                )
            ]
    return []


def _prompt_agrees(
    tokenizer: PreTrainedTokenizerBase, roles: Sequence[str], shown: Frame, habits: ChatProbe
) -> list[Finding]:
    messages = sentinel_messages(roles, habits.parts)
    prompt = render(tokenizer, messages[:-1], generation_prompt=True)
    answer_start = len(shown.text) - len(shown.literals[-1]) - len(shown.sentinels[-1])
    header_start = answer_start - len(shown.literals[-2])
    agreed = first_difference(prompt, shown.text)
    left_in_row = shown.text[_before_open_tag(shown.text, agreed) : answer_start]
    prompt_ids = encode(tokenizer, messages[:-1], generation_prompt=True)
    row_ids = encode(tokenizer, messages)
    shared = first_difference(prompt_ids, row_ids)
    left_in_prompt = token_text(tokenizer, prompt_ids[shared:])
    opens = not left_in_row.strip() or agreed > _context_end(tokenizer, messages[:-1], shown.text)
    names_role = agreed >= header_start + _role_name_end(shown.literals[-2], habits, tokenizer)
    goes_on = not left_in_prompt or (not left_in_row and left_in_prompt.strip()) or TAGS_ONLY.fullmatch(left_in_row)
    if opens and names_role and goes_on:
        return []
    return [
        Finding(
            "the generation prompt is not what training rows have before an answer",
            f"turn {len(roles) // 2}, token {shared}: {token_text(tokenizer, row_ids[max(0, shared - 6) : shared])!r} "
            "is the last that both share",
            f"{shown.text[min(agreed, header_start) : answer_start][:80]!r} before the answer",
            f"the prompt goes on with {left_in_prompt[:80]!r}" if left_in_prompt else "the prompt ends there",
            "let the add_generation_prompt branch of tokenizer.chat_template write the assistant's header exactly as "
            "the loop over messages writes it, without a trailing space",
        )
    ]


def _before_open_tag(text: str, at: int) -> int:
    """The position itself, or the start of the tag that it falls into."""
    start = text.rfind("<", 0, at)
    return start if start >= 0 and ">" not in text[start:at] else at


def _context_end(tokenizer: PreTrainedTokenizerBase, context: list[dict[str, Any]], text: str) -> int:
    """How far a row agrees with the conversation before the answer, rendered without a generation prompt."""
    try:
        return first_difference(render(tokenizer, context), text)
    except REFUSALS:
        return 0


def _role_name_end(header: str, habits: ChatProbe, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where in the assistant's header its role has been told apart from the user's: the end of the differing word."""
    going_on = frame(tokenizer, ("user", "assistant", "user"), parts=habits.parts)
    if going_on is None:
        return 0
    word = re.compile(r"\w*").match(header, first_difference(header, going_on.literals[2]))
    return word.end() if word else 0


def terminator_stops_generation(
    tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, stop_ids: Collection[int]
) -> list[Finding]:
    """The token that ends an assistant turn is one on which generation stops."""
    if habits.terminator_id is None or habits.terminator_id in stop_ids:
        return []
    stops = ", ".join(name_token(tokenizer, i) for i in sorted(stop_ids)) or "nothing"
    return [
        Finding(
            "generation does not stop where the template ends a turn",
            "generation_config.eos_token_id",
            f"to hold {name_token(tokenizer, habits.terminator_id)}",
            f"stops on {stops}",
            f"set model.generation_config.eos_token_id to [{habits.terminator_id}, ...] and save it with the model",
        )
    ]


def encoding_is_stable(tokenizer: PreTrainedTokenizerBase) -> list[Finding]:
    """Text that was decoded encodes to the same ids again, so nothing but the normaliser's doing is lost."""
    findings = []
    for text in PROBE_TEXTS:
        ids = plain_ids(tokenizer, text)
        decoded = token_text(tokenizer, ids)
        again = plain_ids(tokenizer, decoded)
        if again != ids:
            at = first_difference(again, ids)
            findings.append(
                Finding(
                    "decoding changes the text",
                    f"{text!r}, token {at}",
                    f"{token_text(tokenizer, ids[at : at + 4])!r} after decoding and encoding again",
                    f"{token_text(tokenizer, again[at : at + 4])!r}",
                    "switch clean_up_tokenization_spaces off, and compare tokenizer.json with the base model's",
                )
            )
    return findings


def ids_fit_the_model(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, vocab_rows: int) -> list[Finding]:
    """Every id that a conversation or a batch can hold has a row in the embedding matrix of ``vocab_rows`` rows."""
    named = {
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "pad": tokenizer.pad_token_id,
        "terminator": habits.terminator_id,
        "highest in a conversation": max(encode(tokenizer, sentinel_messages(ONE_TURN, habits.parts))),
    }
    return [
        Finding(
            "the tokenizer gives an id that the model has no embedding for",
            f"the {name} token {name_token(tokenizer, token_id)}",
            f"an id below {vocab_rows}, the rows of the embedding matrix",
            f"{token_id}",
            f"call model.resize_token_embeddings({token_id + 1}) before training, or use the base model's tokenizer",
        )
        for name, token_id in named.items()
        if token_id is not None and token_id >= vocab_rows
    ]


def rendering_is_repeatable(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """The same conversation renders to the same text, and its ids are those of the rendered text."""
    messages = sentinel_messages(ONE_TURN, habits.parts)
    texts = {render(tokenizer, messages) for _ in range(3)}
    findings = []
    if len(texts) > 1:
        findings.append(
            Finding(
                "the template renders one conversation differently each time",
                "a user message and an answer",
                "the same text",
                f"{len(texts)} texts in 3 renderings",
                "take whatever is random out of tokenizer.chat_template",
            )
        )
    written = plain_ids(tokenizer, texts.pop())
    given = encode(tokenizer, messages)
    if not findings and written != given:
        at = first_difference(written, given)
        findings.append(
            Finding(
                "apply_chat_template gives other ids than the text that it renders",
                f"token {at}",
                token_text(tokenizer, written[at : at + 4]),
                token_text(tokenizer, given[at : at + 4]),
                "compare apply_chat_template of this tokenizer class with that of PreTrainedTokenizerFast",
            )
        )
    return findings
