"""What exhibits are built of: a byte-level tokenizer of a few hundred tokens, templates, rows and tiny trainers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import DataCollatorForSeq2Seq, PreTrainedTokenizerFast, Trainer, TrainingArguments

from harness.chat.probe import probe
from harness.chat.record import chat_record
from harness.chat.template import encode
from harness.inspection.checkpoint import Checkpoint
from harness.inspection.matching import inspect_batches
from harness.inspection.stand_in import nowhere, stand_in_trainer, tiny_model
from harness.loop.looked_at import Loop

PROSE = """The gate opens at noon and closes at six. A fox may cross the garden before the rain begins.
user assistant system Assistant: User: System: What is the capital of the country? It is a quiet town by the sea.
def add(left, right):\n    return left + right\n"""

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WITH_BOS = "{{ bos_token }}" + CHATML

ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "What opens at noon?"},
            {"role": "assistant", "content": "The gate."},
        ]
    },
    {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Who crosses the garden?"},
            {"role": "assistant", "content": "A fox."},
            {"role": "user", "content": "A fox."},
            {"role": "assistant", "content": "Yes: user\nA fox."},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "今天天气好吗？"},
            {"role": "assistant", "content": "很好 and the rain begins before six."},
        ]
    },
]


@functools.cache
def _trained() -> str:
    tokenizer = Tokenizer(models.BPE())
    # lines and words apart, as the tokenizers of current models split them
    split = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer.to_str()


def tokenizer_with(
    template: str | None,
    special: Sequence[str] = ("<|im_start|>", "<|im_end|>"),
    eos: str = "<|end|>",
    adds_bos: bool = False,
) -> PreTrainedTokenizerFast:
    """A tokenizer with this chat template and these control tokens; ``adds_bos`` puts BOS before every text."""
    ends = {"bos_token": "<|begin|>", "eos_token": eos, "pad_token": "<|pad|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(_trained()), **ends)
    tokenizer.add_special_tokens({"extra_special_tokens": list(special)})
    tokenizer.chat_template = template
    if adds_bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", tokenizer.bos_token_id)]
        )
    return tokenizer


def sft_trainer(template: str = MARKED, rows: Sequence[Mapping[str, Any]] = ROWS, **options: Any) -> Any:
    """What trl makes of these rows: an ``SFTTrainer`` over a random model; ``options`` are those of ``SFTConfig``."""
    return stand_in_trainer(tokenizer_with(template), rows, **options)


def prepared_as(trainer: Any, change: Callable[[list[int], list[int]], tuple[list[int], list[int]]]) -> Any:
    """The trainer with its prepared rows changed: ``change`` gets ids and labels and returns them."""
    from datasets import Dataset

    changed = [change(list(row["input_ids"]), list(row["labels"])) for row in trainer.train_dataset]
    trainer.train_dataset = Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in changed])
    return trainer


def labelled(ids: Sequence[int], learned: Container[int]) -> dict[str, list[int]]:
    """A prepared row of these ids, of which the positions in ``learned`` have labels."""
    return {"input_ids": list(ids), "labels": [token if i in learned else -100 for i, token in enumerate(ids)]}


def last_answers(tokenizer: Any) -> list[dict[str, list[int]]]:
    """Prepared rows of ``ROWS`` of which the last answers are learned; they are of unlike length."""
    prepared = []
    for row in ROWS:
        ids = encode(tokenizer, row["messages"])
        start = len(encode(tokenizer, row["messages"][:-1], generation_prompt=True))
        prepared.append(labelled(ids, range(start, len(ids))))
    return prepared


def plain_trainer(
    tokenizer: Any,
    prepared: Sequence[Mapping[str, Any]],
    collator: Any = None,
    model: Any = None,
    kind: type[Trainer] = Trainer,
    **arguments: Any,
) -> Trainer:
    """A transformers ``Trainer`` over rows that the user's own code has prepared (``input_ids``, ``labels``)."""
    from datasets import Dataset

    settings = {"output_dir": nowhere(), "report_to": "none", "use_cpu": True}
    settings |= {"save_strategy": "no", "per_device_train_batch_size": 4, "remove_unused_columns": False}
    return kind(
        model=tiny_model(tokenizer) if model is None else model,
        args=TrainingArguments(**(settings | arguments)),
        train_dataset=Dataset.from_list([dict(row) for row in prepared]),
        data_collator=collator,
        processing_class=tokenizer,
    )


def loop_of(trainer: Any, rows: Sequence[Mapping[str, Any]] | None = None) -> Loop:
    """The training loop of a trainer, with the source rows of its batches."""
    return Loop(trainer, inspect_batches(trainer, rows))


def written_out(tokenizer: Any, texts: Sequence[str], **encoding: Any) -> Trainer:
    """A trainer over rows that the user's own code has rendered: tokenised, every token of them learned."""
    encoding = {"add_special_tokens": False} | encoding
    return learned_whole(tokenizer, [tokenizer(text, **encoding)["input_ids"] for text in texts])


def learned_whole(tokenizer: Any, rows: Sequence[Sequence[int]]) -> Trainer:
    """A trainer over rows of ids, every token of them learned: a way of masking that leaves the ids to speak alone."""
    prepared = [{"input_ids": list(ids), "labels": list(ids)} for ids in rows]
    return plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer))


def checkpoint_of(tokenizer: Any, **facts: Any) -> Checkpoint:
    """What is saved beside the weights of a model that stops where this template ends a turn; ``facts`` change it."""
    habits = probe(tokenizer)
    stops = habits.closing_ids | {tokenizer.eos_token_id}
    return Checkpoint(**({"tokenizer": tokenizer, "habits": habits, "stop_ids": stops} | facts))


def record_of(tokenizer: Any) -> dict[str, Any]:
    """What a baseline or a training run keeps of this tokenizer's template."""
    habits = probe(tokenizer)
    return {"template": habits.digest, "chat": chat_record(tokenizer, habits)}
