"""What must hold of a tokenizer and its chat template before a single row is trained. Empty lists: it holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from harness.chat.control import control_ids, first_difference, name_token, plain_ids, token_text
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, sentinel_messages, sentinels, split_at
from harness.chat.probe import ChatProbe, leading_bos
from harness.chat.template import REFUSALS, encode, render
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


RICH_CONTENT = (
    "First Line, with \"Double\" & 'single' quotes; 3 < 4 > 2, 100 % of {braces} and [brackets].\n"
    "\tdef Indented(x):  return x  # two  spaces\n"
    "Zweite Zeile: Ä Ö ü ß – naïve café 🙂\n第二行：今天天气很好。\n"
    "And a Last Line, so long that whoever keeps only the beginning of a message does not get as far as this End."
)
"""What people write, in one message: several lines, both cases, quotes, brackets, other scripts, some length."""


def messages_survive(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Every content comes out of rendering and tokenisation once and in order; a role is taken or refused, not lost."""
    conversations: list[Sequence[str]] = [ONE_TURN]
    if habits.roles["system"] != "refused":
        conversations.append(("system", *ONE_TURN))
    if habits.continues:
        conversations.append(SEVERAL_TURNS)
        conversations.append((*SEVERAL_TURNS, "user"))
        conversations.append(ONE_TURN * 6)
    findings = _rich_content_survives(tokenizer, habits)
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


def _rich_content_survives(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A content is written as it is, but for white space at its ends: nothing cut, escaped, lowered or joined."""
    findings = []
    for role in ONE_TURN:
        messages = sentinel_messages(ONE_TURN, habits.parts)
        message = messages[ONE_TURN.index(role)]
        message["content"] = [{"type": "text", "text": RICH_CONTENT}] if habits.parts else RICH_CONTENT
        try:
            written = render(tokenizer, messages)
        except REFUSALS:
            continue
        if RICH_CONTENT.strip() in written:
            continue
        kept = next(n for n in range(len(RICH_CONTENT), -1, -1) if RICH_CONTENT[:n] in written)
        findings.append(
            Finding(
                f"the template changes what the {role} says",
                f"character {kept} of {len(RICH_CONTENT)} of a {role} message",
                f"{RICH_CONTENT[max(0, kept - 20) : kept + 20]!r}",
                "the content is not written as it is: it is cut, escaped or rewritten",
                f"let tokenizer.chat_template write message['content'] of the {role} without filters (trim is fine)",
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
    """Generation stops on the token that ends an assistant turn, and on no token that ordinary text is made of."""
    findings = _stops_on_ordinary_text(tokenizer, stop_ids)
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


def _stops_on_ordinary_text(tokenizer: PreTrainedTokenizerBase, stop_ids: Collection[int]) -> list[Finding]:
    controls = control_ids(tokenizer)
    return [
        Finding(
            "generation stops on a token of ordinary text",
            "generation_config.eos_token_id",
            "control tokens only",
            name_token(tokenizer, stop_id),
            f"take {stop_id} out of generation_config.eos_token_id: answers would break off at this text",
        )
        for stop_id in sorted(stop_ids)
        if stop_id < len(tokenizer) and stop_id not in controls
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
