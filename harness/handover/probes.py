"""What models are asked when two of them must be the same: fixed texts and conversations, as token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.chat.template import REFUSALS, encode
from harness.engine.precision import divergence
from harness.errors import ModelError
from harness.inspection.probe_texts import PROBE_TEXTS
from harness.models.files import ModelFiles, first_line
from harness.references import read_json

LONGEST = 64
"""Tokens of a probe: enough for attention and positions to matter, little enough for a vocabulary of 250,000."""

CONVERSATIONS = (
    ("What opens at noon?", "The gate opens at noon and closes at six."),
    ("Write a function that adds two numbers.", "def add(left, right):\n    return left + right"),
    ("今天天气好吗？", "很好，适合去公园。"),
    ("Name three rivers.", "The Nile, the Amazon and the Danube."),
)

PROSE = "A fox may cross the garden before the rain begins, and the town by the sea is quiet until the market opens."


@dataclass(frozen=True)
class Distance:
    """How far two models are apart on the probes.

    ``kl`` is the mean Kullback-Leibler divergence of the second from the first over all positions, in nats;
    ``agreement`` the share of positions with the same likeliest token; ``worst`` the positions' largest divergence,
    ``where`` (probe, position) it is, and ``likeliest`` the first choice of each model there.
    """

    kl: float
    agreement: float
    worst: float
    where: tuple[int, int]
    likeliest: tuple[int, int]


def probe_ids(tokenizer: Any) -> list[list[int]]:
    """Token ids of the probes, the same for every model with this tokenizer and template."""
    texts = [tokenizer(text, add_special_tokens=True)["input_ids"] for text in (PROSE, " ".join(PROBE_TEXTS))]
    return [ids[:LONGEST] for ids in (*_conversations(tokenizer), *texts) if len(ids) > 1]


def probes_of(*models: ModelFiles) -> list[list[int]]:
    """The probes of the first model's tokenizer, and one more that holds the tokens that adapters among them name.

    An adapter may have learned the rows of some tokens alone, or may wake up at some: no other text shows it.
    """
    probes = probe_ids(models[0].tokenizer)
    named = sorted({token for files in models if files.base is not None for token in _named_tokens(files.folder)})
    text = probes[0]
    return [*probes, [*text[: LONGEST // 2], *named, *text[: LONGEST // 2]]] if named else probes


def _named_tokens(folder: Path) -> Iterator[int]:
    """Token ids in an adapter's config: lists, or lists by module, under a key that speaks of tokens."""
    for key, value in read_json(folder / "adapter_config.json").items():
        for listed in value.values() if isinstance(value, dict) else [value]:
            if "token" in key and isinstance(listed, list):
                yield from (token for token in listed if isinstance(token, int))


def _conversations(tokenizer: Any) -> Iterator[list[int]]:
    for question, answer in CONVERSATIONS:
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        try:
            yield encode(tokenizer, messages)
        except REFUSALS:
            return


def logits_of(module: Any, probes: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Logits of each probe alone, of shape (tokens, vocabulary), in float32 on the CPU.

    Virtual tokens that an adapter puts in front have none here.
    """
    found = []
    with torch.inference_mode():
        for ids in probes:
            given = torch.tensor([list(ids)], device=module.device)
            logits = _forward(module, given)
            found.append(logits[-len(ids) :].float().cpu())
    return found


def _forward(module: Any, given: torch.Tensor) -> torch.Tensor:
    try:
        logits: torch.Tensor = module(input_ids=given, attention_mask=torch.ones_like(given), use_cache=False).logits[0]
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise ModelError(
            f"the model gives no logits for token ids alone ({first_line(error)}); it cannot be held against another."
        ) from None
    return logits


def distance(expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> Distance:
    """Compare two models' logits on the same probes; a vocabulary that was padded is compared where both have ids."""
    divergences, agreed = [], []
    worst = (-1.0, (0, 0), (0, 0))
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        width = min(one.shape[-1], other.shape[-1])
        one, other = one[:, :width], other[:, :width]
        each = divergence(one, other)
        at = int(each.argmax())
        first = int(one[at].argmax()), int(other[at].argmax())
        if float(each[at]) > worst[0]:
            worst = float(each[at]), (number, at), first
        divergences.append(each)
        agreed.append(one.argmax(-1) == other.argmax(-1))
    kl, agreement = torch.cat(divergences).mean(), torch.cat(agreed).double().mean()
    return Distance(float(kl), float(agreement), *worst)
