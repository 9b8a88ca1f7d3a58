"""Recipes: what a file may say, and the sentence for what it may not."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.rows import read_rows
from harness.samples import read_samples
from harness.training.recipe import check_recipe_file, configs, load_recipe
from harness.training.stages import check_stages, stages_of

RECIPES = Path(__file__).parent.parent / "recipes"

NAMES = "model_name_or_path: demo:base\ndataset_name: rows.jsonl\n"

# The keys of the YAML that trl's documentation gives for `trl sft --config`, with the launcher's own left out.
TRL_CONFIG = """
model_name_or_path: Qwen/Qwen2.5-0.5B
dataset_name: stanfordnlp/imdb
report_to: none
learning_rate: 2.0e-5
num_train_epochs: 1
packing: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
eos_token: <|im_end|>
eval_strategy: steps
eval_steps: 100
use_peft: true
lora_r: 32
lora_alpha: 16
lora_target_modules: [q_proj, v_proj]
lr_scheduler_type: cosine
gradient_checkpointing_kwargs: {use_reentrant: false}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def parsed(path: Path):
    return configs(load_recipe(path), {"output_dir": str(path.parent)})


def test_a_file_for_trl_sft_is_a_recipe(tmp_path):
    script, training, model = parsed(written(tmp_path, TRL_CONFIG))
    assert (script.dataset_name, training.packing, training.eval_steps) == ("stanfordnlp/imdb", True, 100)
    assert (model.use_peft, model.lora_r, model.lora_target_modules) == (True, 32, ["q_proj", "v_proj"])


def test_numbers_that_yaml_reads_as_text_become_numbers(tmp_path):
    _, training, model = parsed(
        written(tmp_path, NAMES + "learning_rate: 1e-4\nmax_steps: '3'\nuse_peft: 'yes'\nwarmup_steps: 2\n")
    )
    assert (training.learning_rate, training.max_steps, model.use_peft) == (1e-4, 3, True)


def test_a_revision_joins_the_model_reference(tmp_path):
    assert load_recipe(written(tmp_path, NAMES + "model_revision: v2\n")).model == "demo:base@v2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("learning_rte: 1e-4", "unknown key 'learning_rte'; the nearest is 'learning_rate'"),
        ("lora_dropuot: 0.1", "unknown key 'lora_dropuot'; the nearest is 'lora_dropout'"),
        ("learning_rate: fast", "learning_rate: invalid float value: 'fast'"),
        ("learning_rate: [1]", r"learning_rate: float is expected, \[1\] is a list"),
        ("max_steps: 1.5", "max_steps: int is expected, 1.5 is a float"),
        ("use_peft: 3", "use_peft: bool is expected, 3 is a int"),
        ("lora_r: true", "lora_r: int is expected, True is a bool"),
        ("dtype: float64", "dtype: 'float64' is none of auto, bfloat16"),
        ("lr_scheduler_type: wavy", "trl refuses it: wavy is not a valid SchedulerType"),
        ("bf16: true\nfp16: true", "trl refuses it: At most one of fp16 and bf16 can be True"),
        ("per_device_train_batch_size: 0", "per_device_train_batch_size: 0 must be 1 or more"),
        ("learning_rate: -1", "learning_rate: -1.* must be above 0"),
        ("neftune_noise_alpha: -1", "neftune_noise_alpha: -1.* must not be below 0"),
        ("num_train_epochs: 0", "num_train_epochs: 0 trains nothing"),
        ("max_steps: 0", "max_steps: 0 trains nothing"),
        ("save_strategy: steps\nsave_steps: 0", "save_steps: 0.* must be above 0"),
        ("push_to_hub: true", "push_to_hub: nothing is published"),
        ("trust_remote_code: true", "trust_remote_code: a recipe runs no code"),
        ("load_in_4bit: true", "load_in_4bit: quantised training is not supported yet"),
        ("datasets: [{path: a}]", "datasets: mixtures are not supported yet"),
        ("env: {A: b}", "env: set environment variables in the shell"),
        ("max_steps: 1\nmax_steps: 2", ":4:1: not valid YAML: the key 'max_steps' stands there twice"),
        ("[packing]: true", ":3:1: not valid YAML: found unhashable key"),
        ("packing: [", ":4:1: not valid YAML: "),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_file(tmp_path, text, sentence):
    with pytest.raises(RecipeError, match=sentence) as raised:
        load_recipe(written(tmp_path, NAMES + text + "\n"))
    assert "recipe.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n- b\n", "a mapping of keys to values, this is a list"),
        ("", "a mapping of keys to values, this is nothing"),
        ("dataset_name: rows.jsonl\n", "model_name_or_path is missing"),
        ("model_name_or_path: demo:base\n", "dataset_name is missing"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, sentence):
    with pytest.raises(RecipeError, match=sentence):
        check_recipe_file(written(tmp_path, text))


def test_a_missing_recipe_is_said_so(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        check_recipe_file(tmp_path / "none.yaml")


def test_refused_keys_that_are_switched_off_are_no_matter(tmp_path):
    load_recipe(written(tmp_path, NAMES + "push_to_hub: false\nload_in_4bit: false\n"))


def test_the_check_at_option_time_imports_neither_torch_nor_trl(tmp_path):
    path = written(tmp_path, NAMES)
    code = (
        "import sys, pathlib; from harness.training.recipe import check_recipe_file as check;"
        f"check(pathlib.Path({str(path)!r})); sys.exit(bool({{'torch', 'trl', 'transformers'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_that_come_with_the_package_are_in_order(recipe):
    loaded = load_recipe(recipe)
    stages = stages_of(loaded)
    check_stages(stages)
    for each in [stage.recipe for stage in stages] or [loaded]:
        assert read_rows(recipe.parent / each.values["dataset_name"])


def test_no_ticket_is_both_trained_on_and_tested():
    trained = {row["prompt"][-1]["content"] for row in read_rows(RECIPES / "data" / "tickets.jsonl")}
    tested = {sample.prompt for sample in read_samples(RECIPES / "data" / "tickets_test.jsonl")}
    assert (len(trained), len(tested)) == (100, 60)
    assert not trained & tested
    # The prompts have one form, so that the tuned model is asked as it was taught.
    assert len({prompt.splitlines()[0] for prompt in trained | tested}) == 1
