"""The engine: its numbers do not depend on batches, and are those of one plain forward pass."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from harness.engine.batches import Budget, longest_first
from harness.errors import DataError, InvalidRunError, ModelError, ModelReferenceError, UsageError
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.references import parse_reference
from tiny_checkpoint import write_tiny_checkpoint

TEXTS = ["The sea is wide.", "a", "One two three four five six seven, and so on to ten.", "的确", "x y z"]
CHATS = [({"role": "user", "content": text},) for text in TEXTS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def loaded(folder: Path, **options: object) -> LocalModel:
    return load(parse_reference(str(folder)), LoadOptions(Access(folder.parent / "cache", offline=True), **options))


def plain_log_probability(model: LocalModel, context: str, continuation: str) -> float:
    """From the definition: one row, one forward pass, a sum of log-softmax values."""
    tokenizer = model.tokenizer
    ids = tokenizer(context + continuation)["input_ids"]
    start = len(tokenizer(context)["input_ids"])
    with torch.no_grad():
        logs = model.module(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logs[position - 1, ids[position]]) for position in range(start, len(ids)))


def test_log_likelihood_is_that_of_a_plain_forward_pass(folder):
    model = loaded(folder)
    pairs = [(text, " and more") for text in TEXTS]
    for (context, continuation), answer in zip(pairs, model.loglikelihood(pairs), strict=True):
        assert answer.total == pytest.approx(plain_log_probability(model, context, continuation), abs=1e-4)


def test_batching_changes_neither_likelihoods_nor_answers(folder):
    alone, together = loaded(folder, batch_size=1), loaded(folder, batch_size=64)
    pairs = [(text, f" {other}") for text in TEXTS for other in TEXTS]
    for one, many in zip(alone.loglikelihood(pairs), together.loglikelihood(pairs), strict=True):
        assert one.total == pytest.approx(many.total, abs=1e-4)
        assert one.tokens == many.tokens
    assert alone.generate(CHATS, max_new_tokens=24) == together.generate(CHATS, max_new_tokens=24)


def test_every_token_of_a_long_text_is_scored_once(folder):
    model = loaded(folder)
    text = "word " * 200
    losses = model.token_losses([text])[0]
    assert len(losses) == len(model.tokenizer(text)["input_ids"]) > model.longest
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)


def test_an_answer_stops_at_any_stop_id_and_not_before(folder):
    model = loaded(folder)
    free = model.generate(CHATS, max_new_tokens=16)
    wanted = free[0].ids[5]
    model.stop_ids = frozenset({wanted})
    stopped = model.generate(CHATS, max_new_tokens=16)
    assert stopped[0].ids == free[0].ids[: free[0].ids.index(wanted) + 1]
    assert stopped[0].finish == "terminator"
    for before, after in zip(free, stopped, strict=True):
        assert before.ids[: len(after.ids)] == after.ids


def test_trailing_space_of_a_context_belongs_to_the_continuation(folder):
    model = loaded(folder)
    left, right = model.loglikelihood([("The sea is ", "wide"), ("The sea is", " wide")])
    assert left == right


def test_a_prompt_without_room_for_an_answer_is_refused(folder):
    with pytest.raises(DataError, match=r"leaves no room"):
        loaded(folder).generate(["word " * 400], max_new_tokens=8)


@pytest.mark.parametrize(("context", "continuation"), [("th", "e"), ("The sea", ""), ("", "")])
def test_a_continuation_without_a_token_of_its_own_is_refused(context, continuation):
    model = load(parse_reference("demo:base"), LoadOptions(Access(Path("unused"), offline=True)))
    with pytest.raises(DataError, match=f"pair 2 of 2: .* the continuation {continuation!r} no token of its own after"):
        model.loglikelihood([("The sea", " is wide."), (context, continuation)])


def test_nothing_to_go_on_from_and_nothing_to_answer_are_refused():
    model = load(parse_reference("demo:base"), LoadOptions(Access(Path("unused"), offline=True)))
    with pytest.raises(DataError, match="prompt 2 of 2 is empty"):
        model.generate(["The sea", ""], max_new_tokens=2)
    with pytest.raises(UsageError, match="max_new_tokens is 0"):
        model.generate(["The sea"], max_new_tokens=0)


def test_batches_keep_to_the_budget_and_hold_every_row():
    lengths = [5, 100, 7, 7, 64, 1]
    batches = list(longest_first(lengths, Budget(tokens=128)))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 128 for batch in batches)


def test_a_tokenizer_with_more_ids_than_rows_does_not_fit(folder, tmp_path):
    from transformers import AutoTokenizer

    write_tiny_checkpoint(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_tokens(["<|extra|>"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"tokenizer does not fit.*<\|extra\|>"):
        loaded(tmp_path).module  # noqa: B018 - read when first asked


def test_a_checkpoint_with_a_missing_weight_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    write_tiny_checkpoint(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are not in the checkpoint.*up_proj"):
        loaded(tmp_path).module  # noqa: B018


def test_damaged_weights_are_one_sentence(tmp_path):
    write_tiny_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ModelError, match=r"cannot load the weights"):
        loaded(tmp_path).module  # noqa: B018


def test_an_adapter_changes_the_model_and_names_its_base(folder, tmp_path):
    write_adapter(folder, tmp_path / "adapter", hidden=None)
    model = loaded(tmp_path / "adapter")
    assert model.digests["weights"] == loaded(folder).digests["weights"]
    assert model.digests["adapter"]
    pairs = [("The sea is", " wide")]
    assert model.loglikelihood(pairs) != loaded(folder).loglikelihood(pairs)


def test_an_adapter_on_another_base_is_refused(folder, tmp_path):
    write_adapter(folder, tmp_path / "adapter", hidden=48)
    with pytest.raises(ModelError, match=r"--base-model"):
        loaded(tmp_path / "adapter").module  # noqa: B018


def write_adapter(base: Path, target: Path, hidden: int | None) -> None:
    """A LoRA whose B is not zero, trained (as its config says) on ``base``, or in truth on one of other width."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    if hidden is None:
        module = AutoModelForCausalLM.from_pretrained(base)
    else:
        module = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=64, hidden_size=hidden, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
            )
        )
    adapted = get_peft_model(module, LoraConfig(target_modules=["q_proj"], r=4, init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(target, save_embedding_layers=False)


def test_pickle_weights_and_remote_code_name_the_option_that_allows_them(tmp_path):
    write_tiny_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelReferenceError, match=r"--allow-pickle"):
        parse_reference(str(tmp_path))
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("{", '{"auto_map": {"AutoConfig": "evil.Config"},', 1))
    with pytest.raises(ModelReferenceError, match=r"--trust-remote-code"):
        parse_reference(str(tmp_path))


def test_a_model_that_computes_nan_gives_no_answers(folder):
    model = loaded(folder)
    model.module.model.norm.weight.data[0] = float("nan")
    with pytest.raises(InvalidRunError, match=r"computes NaN"):
        model.generate(CHATS, max_new_tokens=4)


def test_a_conversation_that_the_template_refuses_is_one_sentence(folder):
    model = loaded(folder)
    model.tokenizer.chat_template = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}hello"
    with pytest.raises(DataError, match=r"refuses a conversation of system, user"):
        model.generate([({"role": "system", "content": "a"}, {"role": "user", "content": "b"})], max_new_tokens=4)
