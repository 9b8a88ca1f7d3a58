"""What must hold of a tokenizer and its chat template before a single row is trained. Empty lists: it holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from harness.chat.control import first_difference, name_token, plain_ids, token_text
from harness.chat.frame import ONE_TURN, REFUSALS, SEVERAL_TURNS, sentinel_messages, sentinels, split_at
from harness.chat.probe import ChatProbe, leading_bos
from harness.chat.template import encode, render
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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
