"""Faults of what is saved beside the weights: where generation stops, and how it answers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gguf import GGUFWriter
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, LlamaConfig

from harness.inspection.generation_settings import GENERATION, generation_settings
from harness.inspection.special_ids import SPECIAL_IDS, special_ids
from harness.models.stated_ids import id_set
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, checkpoint_of, sft_trainer, tokenizer_with

COVERS = "stopping/generation_stops_where_the_template_ends_a_turn"
RECORDED = "stopping/the_generation_settings_are_the_recorded_ones"

BY_ROLES = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Nothing stands behind an answer; what ends it is the marker of whoever speaks next."""

TOKENIZER = tokenizer_with(CHATML)
EOS = TOKENIZER.eos_token_id
END = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
BOTH = [EOS, END]
SAMPLED = {"do_sample": True, "temperature": 0.6, "top_p": 0.9}


def _saved(recorded: Mapping[str, Any] | None = None, config: Any = None, **settings: Any) -> Setup:
    """A checkpoint with this generation config; ``recorded`` are the settings that a baseline was made with."""
    stated = GenerationConfig(**({"eos_token_id": BOTH} | settings))
    record = {} if recorded is None else {GENERATION: generation_settings(GenerationConfig(**recorded))}
    checkpoint = checkpoint_of(
        TOKENIZER,
        config=config,
        generation_config=stated,
        stop_ids=id_set(stated.eos_token_id),
        recorded={"baseline main": record} if record else {},
    )
    return Setup(checkpoint=checkpoint)


def _by_roles(stops: Sequence[str]) -> Setup:
    tokenizer = tokenizer_with(BY_ROLES, special=("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"))
    ids = frozenset(tokenizer.convert_tokens_to_ids(token) for token in stops)
    stated = GenerationConfig(eos_token_id=sorted(ids))
    return Setup(checkpoint=checkpoint_of(tokenizer, generation_config=stated, stop_ids=ids))


def _trained_on(stops: list[int]) -> Setup:
    """A trainer whose model stops here before it is trained, and so after it was saved."""
    trainer = sft_trainer(CHATML)
    trainer.model.generation_config.eos_token_id = stops
    return Setup(trainer=trainer, rows=ROWS)


def _with_bos(kept: bool) -> Setup:
    """A config whose BOS a trainer has aligned with a tokenizer that declares none, beside what it was."""
    ids = {"eos_token_id": EOS, "pad_token_id": EOS}
    before = checkpoint_of(TOKENIZER, config=LlamaConfig(bos_token_id=5, **ids))
    after = LlamaConfig(bos_token_id=5 if kept else None, **ids)
    record = {"the base model": {SPECIAL_IDS: special_ids(before)}}
    stated = GenerationConfig(eos_token_id=BOTH)
    return Setup(checkpoint=checkpoint_of(TOKENIZER, config=after, generation_config=stated, recorded=record))


def _exported(eos: int) -> Setup:
    """A GGUF file of the tokenizer with this ``tokenizer.ggml.eos_token_id``, read back; it holds no weights."""
    tokenizer = tokenizer_with(CHATML)
    backend = tokenizer.backend_tokenizer
    vocabulary = tokenizer.get_vocab()
    added = tokenizer.get_added_vocab()
    with tempfile.TemporaryDirectory(prefix="pytest-sft-zoo-") as folder:
        file = Path(folder) / "model.gguf"
        writer = GGUFWriter(file, "llama")
        for add in (writer.add_block_count, writer.add_head_count, writer.add_head_count_kv):
            add(1)
        writer.add_context_length(64)
        writer.add_embedding_length(16)
        writer.add_feed_forward_length(32)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(len(vocabulary))
        writer.add_tokenizer_model("gpt2")
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        writer.add_token_list(tokens)
        writer.add_token_types([3 if token in added else 1 for token in tokens])
        writer.add_token_merges([" ".join(pair) for pair in _merges(backend)])
        writer.add_eos_token_id(eos)
        writer.add_chat_template(CHATML)
        for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.close):
            write()
        read = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
        config = AutoConfig.from_pretrained(folder, gguf_file=file.name)
    stated = GenerationConfig.from_model_config(config)
    stops = id_set(stated.eos_token_id)
    return Setup(checkpoint=checkpoint_of(read, config=config, generation_config=stated, stop_ids=stops))


def _merges(backend: Any) -> list[list[str]]:
    return list(json.loads(backend.to_str())["model"]["merges"])


FAULTS = (
    Fault(
        id="stop-05",
        name="The template ends no turn: the next role's marker does, and generation does not stop there",
        source="huggingface/trl#6044",
        inject=partial(_by_roles, ["<|end|>"]),
        caught_by=(COVERS,),
        twin=partial(_by_roles, ["<|end|>", "<|user|>", "<|tool|>"]),
    ),
    Fault(
        id="stop-09",
        name="Generation stops on the base model's eos, the template ends turns with another token",
        source="huggingface/open-r1#663",
        inject=partial(_trained_on, [EOS]),
        caught_by=(COVERS, "stopping/saving_keeps_the_stop_ids"),
        twin=partial(_trained_on, BOTH),
    ),
    Fault(
        id="stop-10",
        name="An export writes one of two stop ids",
        source="marin-community/marin#4153",
        inject=partial(_saved, {"eos_token_id": BOTH}, eos_token_id=END),
        caught_by=(RECORDED,),
        twin=partial(_saved, {"eos_token_id": BOTH}, eos_token_id=[END, EOS]),
        where="the generation config as exporters write it; transformers' trainer keeps the list",
    ),
    Fault(
        id="stop-11",
        name="A trainer erases the config's BOS because the tokenizer declares none",
        source="huggingface/transformers#48592",
        inject=partial(_with_bos, kept=False),
        caught_by=("stopping/special_ids_agree_across_the_files",),
        twin=partial(_with_bos, kept=True),
        where="the config as such a trainer saves it; transformers 5.23 leaves it alone",
    ),
    Fault(
        id="stop-16",
        name="A least length keeps every answer going",
        source="deepspeedai/DeepSpeedExamples#470",
        inject=partial(_saved, min_new_tokens=10),
        caught_by=("stopping/nothing_keeps_the_model_from_ending",),
        twin=partial(_saved, begin_suppress_tokens=[END]),
    ),
    Fault(
        id="stop-17",
        name="The checkpoint brings sampling settings that change every evaluation",
        source="vllm-project/vllm#15241",
        inject=partial(_saved, {"eos_token_id": BOTH}, do_sample=True, temperature=1.5, repetition_penalty=1.3),
        caught_by=(RECORDED,),
        twin=lambda: _saved({"eos_token_id": BOTH, **SAMPLED}, **SAMPLED),
    ),
    Fault(
        id="stop-23",
        name="A GGUF export names the base model's eos as the only token to stop at",
        source="ggml-org/llama.cpp#5040",
        inject=partial(_exported, EOS),
        caught_by=(COVERS,),
        twin=partial(_exported, END),
    ),
)
