"""What a model answers, looked at token by token: its text, its end, its batch, its vocabulary.

These are checks of the engine as much as of the model: a number that is measured on answers means nothing where the
text is not what the ids say, or where an answer depends on the others of its batch. A model that is only known by its
three methods (a server) is asked what it can be asked, and nothing is said of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.chat.control import control_ids, name_token, quoted
from harness.metrics.answers import greedy_answers
from harness.metrics.stopping import hardly_stops, leaked_control_text
from harness.models.asked import afresh
from harness.models.base import Completion, Model
from harness.models.stated_ids import id_set
from harness.records import Finding, Messages, SampleSet

ASKED = 4
"""Prompts that are asked in a batch and alone: the shortest, the longest, and some between."""

TOKENS = 24
"""How far they are followed."""

NEAR_TIE = {"torch.float32": 0.01, "torch.float16": 0.3, "torch.bfloat16": 2.0}
"""Logits by which the likeliest token must lead to count: twice and more what batches move logits by in this type."""

BEYOND = 1e-3
"""Probability that may lie on ids without a token. Rows that only fill up the matrix get 1e-6 and less in training."""

EMPTY = 0.5
"""Share of answers without a character from which on a model is taken to stop before it has begun."""

REPLACED = "\ufffd"
"""What a decoder writes for bytes that are no character."""


def answers_leak_no_control_text(model: Model, samples: SampleSet) -> list[Finding]:
    """No control token before an answer's end, and none spelled out."""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return []
    special = {i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return leaked_control_text(greedy_answers(model, samples), special)


def most_answers_end(model: Model, samples: SampleSet) -> list[Finding]:
    """Most answers end by themselves; for samples that ask for short ones."""
    return hardly_stops(greedy_answers(model, samples))


def few_answers_are_empty(model: Model, samples: SampleSet) -> list[Finding]:
    """Most answers hold a character before they end."""
    answers = greedy_answers(model, samples)
    empty = [name for name, completion in answers.items() if not completion.text.strip()]
    if len(empty) <= EMPTY * len(answers):
        return []
    return [
        Finding(
            "the model ends its answers before they have begun",
            f"samples {', '.join(empty[:ASKED])}",
            f"text in more than {EMPTY:.0%} of the answers",
            f"{len(empty)} of {len(answers)} are empty",
            "see that prompts do not end in a pad token that is a stop id too, that they end where an answer begins, "
            "and that no answer of the training rows is empty",
        )
    ]


def answers_are_what_their_ids_say(model: Model, samples: SampleSet) -> list[Finding]:
    """The text is the ids decoded, less control tokens, and an answer is finished at the first of all stop ids."""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return []
    stops = _stop_ids(model)
    return [
        finding
        for name, completion in greedy_answers(model, samples).items()
        for finding in (*_text_of(name, completion, tokenizer), *_end_of(name, completion, stops, tokenizer))
    ]


def _stop_ids(model: Any) -> frozenset[int]:
    """Every stop id that the checkpoint declares, not only the one that an evaluator happens to know."""
    declared = getattr(getattr(getattr(model, "weights", None), "generation_config", None), "eos_token_id", None)
    return id_set(declared) | frozenset(getattr(model, "stop_ids", ()))


def _text_of(name: str, completion: Completion, tokenizer: Any) -> Iterator[Finding]:
    controls = control_ids(tokenizer)
    plain = [i for i in completion.ids if i not in controls]
    readings = [tokenizer.decode(list(completion.ids), skip_special_tokens=True), tokenizer.decode(plain)]
    if completion.text.split() not in [reading.split() for reading in readings]:
        yield Finding(
            "the text of an answer is not what its ids say",
            f"sample {name}",
            repr(readings[0][:80]),
            repr(completion.text[:80]) + (", with bytes that are no character" if REPLACED in completion.text else ""),
            "decode all ids of an answer at once with tokenizer.decode(ids, skip_special_tokens=True): a token alone "
            "may be half a character",
        )


def _end_of(name: str, completion: Completion, stops: frozenset[int], tokenizer: Any) -> Iterator[Finding]:
    ids = completion.ids
    at = next((place for place, token_id in enumerate(ids) if token_id in stops), None)
    if at is not None and at < len(ids) - 1:
        yield Finding(
            "an answer goes on behind a stop id",
            f"sample {name}, token {at} of {len(ids)}",
            f"the end of the answer at {name_token(tokenizer, ids[at])}",
            f"{quoted(tokenizer, ids[at + 1 : at + 7])} behind it",
            "stop at every id of generation_config.eos_token_id, not at tokenizer.eos_token_id alone",
        )
    elif (at is not None) != (completion.finish == "terminator"):
        yield Finding(
            "an answer is counted as finished though it is not" if at is None else "a finished answer counts as cut",
            f"sample {name}, its last token of {len(ids)}",
            f"finish {'length' if at is None else 'terminator'!r}, by the stop ids {sorted(stops)}",
            f"finish {completion.finish!r}, last id {ids[-1] if ids else 'none'}",
            "compare the last id with every id of generation_config.eos_token_id",
        )


def answers_do_not_depend_on_their_batch(model: Model, samples: SampleSet) -> list[Finding]:
    """Prompts of different lengths get the same greedy answer together and alone, near ties apart."""
    if getattr(model, "module", None) is None:
        return []
    prompts = of_different_lengths([sample.messages for sample in samples])
    computing = afresh(model)
    together = computing.generate(prompts, max_new_tokens=TOKENS)
    findings = []
    for prompt, batched in zip(prompts, together, strict=True):
        (alone,) = computing.generate([prompt], max_new_tokens=TOKENS)
        at = next((n for n, pair in enumerate(zip(batched.ids, alone.ids, strict=False)) if pair[0] != pair[1]), None)
        if at is not None and leads_clearly(model, prompt, alone.ids[:at], batched.ids[at]):
            tokenizer = getattr(model, "tokenizer", None)
            findings.append(
                Finding(
                    "an answer depends on the other prompts of its batch",
                    f"the prompt {str(prompt[-1]['content'])[:60]!r}, token {at} of its answer",
                    f"{name_token(tokenizer, alone.ids[at])}, as when it is asked alone",
                    f"{name_token(tokenizer, batched.ids[at])} in a batch of {len(prompts)}",
                    "pad prompts on the left, and pass attention_mask and position_ids that leave the padding out",
                )
            )
    return findings


def of_different_lengths(prompts: Sequence[Messages]) -> list[Messages]:
    """The shortest prompt, the longest, and some between."""
    by_length = sorted(prompts, key=lambda messages: sum(len(str(message["content"])) for message in messages))
    step = max(1, (len(by_length) - 1) // (ASKED - 1))
    return list(by_length[::step][: ASKED - 1] + by_length[-1:]) if len(by_length) > ASKED else by_length


def leads_clearly(model: Any, prompt: Messages, answer: Sequence[int], other: int) -> bool:
    """Whether the likeliest next token leads the other one by more than arithmetic can move it."""
    logits = _next_logits(model, prompt, answer)
    return float(logits.max() - logits[other]) > NEAR_TIE.get(str(model.module.dtype), 2.0)


def _next_logits(model: Any, prompt: Messages, answer: Sequence[int]) -> Any:
    """Logits of the token after a prompt and the beginning of its answer, of shape (rows of the head,)."""
    import torch

    from harness.chat.template import encode

    ids = [*encode(model.tokenizer, prompt, generation_prompt=True), *answer]
    with torch.inference_mode():
        return model.module(input_ids=torch.tensor([ids], device=model.module.device)).logits[0, -1].float().cpu()


def answers_stay_in_the_vocabulary(model: Model, samples: SampleSet) -> list[Finding]:
    """Every id of an answer is a token, and next to no probability lies on ids that are none."""
    tokenizer: Any = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return []
    known = set(tokenizer.get_vocab().values())
    findings = [
        _beyond(f"sample {name}, token {at} of {len(completion.ids)}", f"id {token_id}", len(known))
        for name, completion in greedy_answers(model, samples).items()
        for at, token_id in list(enumerate(completion.ids))
        if token_id not in known
    ]
    if findings or getattr(model, "module", None) is None:
        return findings
    for prompt in of_different_lengths([sample.messages for sample in samples]):
        chances = _next_logits(model, prompt, ()).softmax(dim=-1)
        beyond = sum(float(chance) for token_id, chance in enumerate(chances) if token_id not in known)
        if beyond > BEYOND:
            where = f"the first token after the prompt {str(prompt[-1]['content'])[:60]!r}"
            return [_beyond(where, f"a probability of {beyond:.4f} on ids without a token", len(known))]
    return []


def _beyond(where: str, found: str, tokens: int) -> Finding:
    return Finding(
        "the model answers with ids that the tokenizer has no token for",
        where,
        f"one of the tokenizer's {tokens} tokens, and a probability below {BEYOND} for all other ids together",
        found,
        "use the tokenizer that the model was trained with; new rows of the head must be trained or shut out "
        "(suppress_tokens)",
    )
