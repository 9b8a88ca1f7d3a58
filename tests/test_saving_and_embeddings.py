"""What a trainer would save, and whether the tokens that it trains on can be learned at all."""

from __future__ import annotations

import random
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from harness.inspection.embeddings import tokens_in_use_can_be_learned
from harness.inspection.matching import inspect_batches
from harness.inspection.saving import saving_keeps_the_stop_ids
from harness.inspection.stand_in import tiny_model
from harness.zoo.parts import MARKED, ROWS, sft_trainer, tokenizer_with

TOKENIZER = tokenizer_with(MARKED)
START, END = (TOKENIZER.convert_tokens_to_ids(token) for token in ("<|im_start|>", "<|im_end|>"))
EOS = TOKENIZER.eos_token_id


@pytest.fixture
def trainer():
    return sft_trainer(MARKED)


@pytest.fixture
def seen(trainer):
    return inspect_batches(trainer, ROWS)


@pytest.mark.parametrize("stops", [END, [EOS, END], [END]])
def test_stop_ids_that_hold_the_terminator_are_kept(trainer, seen, stops):
    trainer.model.generation_config.eos_token_id = stops
    assert saving_keeps_the_stop_ids(trainer, seen) == []


def test_a_terminator_that_is_the_tokenizers_eos_is_added_by_training_and_is_fine():
    trainer = sft_trainer(MARKED)
    trainer.processing_class.eos_token = "<|im_end|>"
    trainer.model.generation_config.eos_token_id = EOS
    assert saving_keeps_the_stop_ids(trainer, inspect_batches(trainer, ROWS)) == []


def test_a_terminator_that_the_saved_model_would_not_stop_at_is_found(trainer, seen):
    trainer.model.generation_config.eos_token_id = EOS
    (finding,) = saving_keeps_the_stop_ids(trainer, seen)
    assert "<|im_end|>" in finding.expected
    assert "<|end|>" in finding.found


def test_stop_ids_that_an_adapter_leaves_behind_are_found(trainer, seen, tmp_path):
    base = tiny_model(TOKENIZER)
    base.generation_config.eos_token_id = EOS
    base.save_pretrained(tmp_path)
    base = LlamaForCausalLM.from_pretrained(tmp_path)
    base.generation_config.eos_token_id = [EOS, END]
    trainer.model = get_peft_model(base, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    assert trainer.model.peft_config["default"].base_model_name_or_path == str(tmp_path)
    (finding,) = saving_keeps_the_stop_ids(trainer, seen)
    assert "beside an adapter" in finding.remedy

    base.generation_config.save_pretrained(tmp_path)
    assert saving_keeps_the_stop_ids(trainer, seen) == []


def test_nothing_of_the_trainer_changes(trainer, seen):
    before = (random.getstate(), torch.get_rng_state().tolist(), trainer.model.generation_config.to_dict())
    saving_keeps_the_stop_ids(trainer, seen)
    tokens_in_use_can_be_learned(trainer, seen)
    assert (random.getstate(), torch.get_rng_state().tolist(), trainer.model.generation_config.to_dict()) == before
    assert all(weight.grad is None for weight in trainer.model.parameters())


def model_with(rows: str, tied: bool):
    """A random model whose rows of the two turn markers are as random as all, new, zero, or the same."""
    model = tiny_model(TOKENIZER)
    if tied:
        model = LlamaForCausalLM(LlamaConfig(**(model.config.to_dict() | {"tie_word_embeddings": True})))
    with torch.no_grad():
        for weight in {id(w): w for w in (model.model.embed_tokens.weight, model.lm_head.weight)}.values():
            if rows == "zero":
                weight[[START, END]] = 0
            elif rows == "same":
                weight[END] = weight[START] * 1.0001
            elif rows == "new":
                weight[[START, END]] = weight.mean(0) + 1e-5 * torch.randn(2, weight.shape[1])
    return model


def adapted(model, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft on tied weights and on embeddings that are saved whole
        return get_peft_model(model, LoraConfig(**({"target_modules": ["q_proj"], "task_type": "CAUSAL_LM"} | options)))


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("rows", ["new", "zero", "same"])
def test_rows_that_hold_nothing_and_are_frozen_are_found(trainer, seen, rows, tied):
    trainer.model = adapted(model_with(rows, tied))
    findings = tokens_in_use_can_be_learned(trainer, seen)
    assert {finding.what.partition(",")[0] for finding in findings} == {
        f"the token '<|im_start|>' (id {START}) is read",
        f"the token '<|im_end|>' (id {END}) is read",
        f"the token '<|im_end|>' (id {END}) is to be learned",
    }
    assert "training row 0" in findings[0].where


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("rows", ["new", "zero", "same"])
def test_rows_that_hold_nothing_may_be_trained(trainer, seen, rows, tied):
    trainer.model = model_with(rows, tied)
    assert tokens_in_use_can_be_learned(trainer, seen) == []
    trainer.model = adapted(model_with(rows, tied), modules_to_save=["embed_tokens", "lm_head"])
    assert tokens_in_use_can_be_learned(trainer, seen) == []
    tokens = [START, END] if tied else {"embed_tokens": [START, END], "lm_head": [END]}
    trainer.model = adapted(model_with(rows, tied), trainable_token_indices=tokens)
    assert tokens_in_use_can_be_learned(trainer, seen) == []


def test_training_other_tokens_or_the_embedding_alone_is_not_enough(trainer, seen):
    trainer.model = adapted(model_with("new", tied=True), trainable_token_indices=[START])
    findings = tokens_in_use_can_be_learned(trainer, seen)
    assert len(findings) == 2
    assert all("<|im_end|>" in finding.what for finding in findings)
    trainer.model = adapted(model_with("new", tied=False), trainable_token_indices=[START, END])
    (finding,) = tokens_in_use_can_be_learned(trainer, seen)
    assert "is to be learned" in finding.what


def test_rows_that_mean_something_may_be_frozen(trainer, seen):
    trainer.model = adapted(tiny_model(TOKENIZER))
    assert tokens_in_use_can_be_learned(trainer, seen) == []


def test_tokens_beyond_those_of_the_checkpoint_are_found_even_as_random_rows(trainer, seen, tmp_path):
    before = LlamaForCausalLM(LlamaConfig(**(tiny_model(TOKENIZER).config.to_dict() | {"vocab_size": START})))
    before.save_pretrained(tmp_path)
    grown = LlamaForCausalLM.from_pretrained(tmp_path)
    grown.resize_token_embeddings(len(TOKENIZER), mean_resizing=False)
    trainer.model = adapted(grown)
    assert any(
        f"was added to the {START} tokens" in finding.found for finding in tokens_in_use_can_be_learned(trainer, seen)
    )
