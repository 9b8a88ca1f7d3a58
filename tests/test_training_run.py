"""Training by recipe: what comes out, when it is trained again, and what is left when it fails."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from harness.chat.record import template_record
from harness.errors import DataError, InvalidRunError, NetworkError, RecipeError, UsageError
from harness.training.recipe import load_recipe, old_names_between_libraries
from harness.training.run import Trained, train
from harness.training.trainer import build_trainer
from tiny_checkpoint import CHATML, write_tiny_checkpoint

FULL = """
model_name_or_path: org/tiny
dataset_name: rows.jsonl
max_steps: 3
learning_rate: 1e-2
per_device_train_batch_size: 2
gradient_checkpointing: false
"""
LORA = FULL + "use_peft: true\nlora_r: 2\nlora_dropout: 0.0\n"
TOOL_CALLS = [
    {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}},
    {"type": "function", "function": {"name": "dice", "arguments": {"sides": 6}}},
]


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads that share one busy core wait for each other a hundred times longer than this model computes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture
def place(tmp_path):
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Say {word}."}],
            "completion": [{"role": "assistant", "content": word}],
        }
        for word in ("one", "two", "three", "four")
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def recipe_of(place: Path, text: str):
    path = place / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def trained(place: Path, checkpoint: Path, text: str, **beside: object) -> Trained:
    return train(recipe_of(place, text), lambda reference: str(checkpoint), place / "cache", **beside)


def leftovers(place: Path) -> list[str]:
    return [path.name for path in (place / "cache" / "trained").iterdir() if path.is_dir()]


def test_full_tuning_gives_a_whole_checkpoint(place, checkpoint):
    result = trained(place, checkpoint, FULL)
    before = AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()
    after = AutoModelForCausalLM.from_pretrained(result.folder).state_dict()
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before if "proj" in name)
    assert AutoTokenizer.from_pretrained(result.folder).chat_template == CHATML
    assert GenerationConfig.from_pretrained(result.folder).eos_token_id is not None
    assert not [path for path in result.folder.iterdir() if path.suffix == ".bin"]


def test_lora_gives_an_adapter_that_names_its_base_by_reference(place, checkpoint):
    result = trained(place, checkpoint, LORA)
    assert json.loads((result.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/tiny"
    assert AutoTokenizer.from_pretrained(result.folder).chat_template == CHATML
    GenerationConfig.from_pretrained(result.folder)
    weights = load_file(result.folder / "adapter_model.safetensors")
    assert all(weight.abs().sum() > 0 for name, weight in weights.items() if "lora_B" in name)
    with old_names_between_libraries():
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(checkpoint), result.folder)


def test_the_manifest_tells_the_run(place, checkpoint):
    seen = []
    result = trained(place, checkpoint, FULL, progress=lambda step: seen.append((step.done, step.total)))
    told = result.manifest
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (told["rows"], told["rows_dropped"], told["steps"], told["seed"]) == (4, 0, 3, 42)
    # The completion and its terminator, and the newline that the template writes after it: content + 2 tokens each.
    assert told["supervised_tokens"] == sum(len(word) + 2 for word in ("one", "two", "three", "four"))
    assert told["tokens"] > told["supervised_tokens"]
    assert len(told["losses"]) == 3
    assert told["losses"][-1] < told["losses"][0]
    assert told["versions"].keys() == {"torch", "transformers", "trl", "peft"}
    assert result.base == "org/tiny"
    # What the tokenizer beside the model writes when it is loaded anywhere is what was trained.
    assert told["trained"] == template_record(AutoTokenizer.from_pretrained(result.folder))
    assert told["trained"]["chat"]["habits"]["an answer ends with"].startswith("'<|im_end|>' (id ")


def test_a_second_run_reads_what_the_first_has_trained(place, checkpoint, monkeypatch):
    first = trained(place, checkpoint, FULL)
    monkeypatch.setattr("trl.SFTTrainer.train", lambda self: pytest.fail("trained again"))
    again = trained(place, checkpoint, FULL + "logging_steps: 5\n")
    assert again == first


def test_another_recipe_other_rows_and_another_base_train_anew(place, checkpoint, tmp_path_factory):
    folders = {trained(place, checkpoint, FULL).folder, trained(place, checkpoint, FULL + "seed: 1\n").folder}
    other = shutil.copytree(checkpoint, tmp_path_factory.mktemp("other") / "base")
    (other / "generation_config.json").write_text('{"eos_token_id": 2}')
    folders.add(trained(place, other, FULL).folder)
    with (place / "rows.jsonl").open("a") as rows:
        rows.write('\n{"instruction": "Say five.", "output": "five"}')
    folders.add(trained(place, checkpoint, FULL).folder)
    assert len(folders) == 4


def test_the_same_seed_gives_the_same_weights(place, checkpoint):
    first, second = (
        train(recipe_of(place, LORA), lambda reference: str(checkpoint), place / name).folder for name in ("a", "b")
    )
    name = "adapter_model.safetensors"
    assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_run_that_fails_while_saving_leaves_nothing(place, checkpoint, monkeypatch):
    def full_disk(self, folder):
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("trl.SFTTrainer.save_model", full_disk)
        with pytest.raises(UsageError, match=r"trained: the model cannot be written \(no space left on device\): make"):
            trained(place, checkpoint, FULL)
    assert leftovers(place) == []
    AutoModelForCausalLM.from_pretrained(trained(place, checkpoint, FULL).folder)


def test_a_loss_that_is_no_number_stops_the_run_at_its_step(place, checkpoint):
    with pytest.raises(InvalidRunError, match=r"the loss is nan at step 2 of 3"):
        trained(place, checkpoint, FULL.replace("1e-2", "1e38") + "optim: sgd\nmax_grad_norm: 0.0\nwarmup_steps: 0\n")
    assert leftovers(place) == []


def test_on_the_cpu_training_is_float32_unless_the_recipe_says_otherwise(place, checkpoint):
    trainer = build_trainer(recipe_of(place, FULL), lambda reference: str(checkpoint), place)
    assert not trainer.args.bf16 or torch.cuda.is_available()
    assert {weight.dtype for weight in trainer.model.parameters()} == {torch.float32}
    asked = build_trainer(recipe_of(place, FULL + "bf16: true\n"), lambda reference: str(checkpoint), place)
    assert asked.args.bf16


def test_tool_arguments_reach_the_template_as_they_are_written(place, checkpoint, tmp_path_factory):
    template = CHATML.replace("(message['content'] or '')", "(message['content'] or message['tool_calls'] | tojson)")
    base = write_tiny_checkpoint(tmp_path_factory.mktemp("tools") / "base", template)
    rows = [
        {"messages": [{"role": "user", "content": "Go."}, {"role": "assistant", "content": None, "tool_calls": [call]}]}
        for call in TOOL_CALLS
    ]
    (place / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    trainer = build_trainer(recipe_of(place, FULL), lambda reference: str(base), place)
    texts = [trainer.processing_class.decode(row["input_ids"]) for row in trainer.train_dataset]
    assert '"arguments": {"sides": 6}' in texts[1]
    assert "null" not in "".join(texts)


def test_a_folder_of_rows_with_two_splits_is_trained_and_evaluated_on(place, checkpoint):
    folder = place / "set"
    folder.mkdir()
    for split in ("train", "test"):
        shutil.copy(place / "rows.jsonl", folder / f"{split}.jsonl")
    text = FULL.replace("rows.jsonl", "set") + "eval_strategy: 'epoch'\n"
    trainer = build_trainer(recipe_of(place, text), lambda reference: str(checkpoint), place)
    assert (len(trainer.train_dataset), len(trainer.eval_dataset)) == (4, 4)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (("rows.jsonl", "absent.jsonl"), DataError, "absent.jsonl: neither beside .*recipe.yaml nor in the working"),
        (("rows.jsonl", "org/data"), NetworkError, "org/data is no local file or folder, and the network may not"),
        (("rows.jsonl", "recipe.yaml"), DataError, "training rows are read from .jsonl files"),
        (("max_steps: 3", "max_steps: 3\nmax_length: 4"), RecipeError, "max_length: no row keeps a supervised token"),
        (("max_steps: 3", "eval_strategy: epoch"), RecipeError, "without a 'test' split to evaluate on"),
        (("max_steps: 3", "assistant_only_loss: true"), RecipeError, "trl refuses it: "),
        (("max_steps: 3", "eos_token: <|stop|>"), RecipeError, "trl refuses it: The specified `eos_token`"),
        (("max_steps: 3", "model_init_kwargs: {trust_remote_code: true}"), RecipeError, "runs no code"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(place, checkpoint, change, error, sentence):
    recipe = recipe_of(place, FULL.replace(*change))
    with pytest.raises(error, match=sentence) as raised:
        build_trainer(recipe, lambda reference: str(checkpoint), place, offline=True)
    assert "\n" not in str(raised.value)


def test_an_adapter_is_no_base_to_tune(place, checkpoint):
    adapter = trained(place, checkpoint, LORA).folder
    with pytest.raises(RecipeError, match="org/tiny is an adapter; merge it"):
        build_trainer(recipe_of(place, FULL), lambda reference: str(adapter), place)


def test_a_conversation_for_a_tokenizer_without_template_is_refused(place, tmp_path_factory):
    bare = write_tiny_checkpoint(tmp_path_factory.mktemp("bare") / "base", template=None)
    with pytest.raises(RecipeError, match=r"chat_template"):
        build_trainer(recipe_of(place, FULL), lambda reference: str(bare), place)
    (place / "own.jinja").write_text(CHATML)
    text = FULL + "chat_template_path: own.jinja\n"
    assert build_trainer(recipe_of(place, text), lambda reference: str(bare), place).processing_class.chat_template
