"""The hand-over suite on what is around the weights: templates, stop ids, settings, and floors of quantised copies."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from harness.engine.precision import FLOORS
from harness.findings import silent
from harness.handover.checks import FILES
from harness.handover.equality import QUANTISED, floor_of
from harness.handover.served_chat import the_chat_is_that_of_the_original
from harness.zoo.deliveries import adapted, base, copied, delivered, files_of, json_changed, merged, saved


def template(before, after):
    def apply(folder):
        path = folder / "chat_template.jinja"
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")

    return apply


CHAT = {
    "the generation prompt alone": (template("assistant\n", "assistant: "), "writes other conversations"),
    "a stop id at which turns end": (json_changed("generation_config.json", eos_token_id=5), "no longer stops"),
    "all stop ids but the tokenizer's": (
        lambda folder: (folder / "generation_config.json").write_text('{"eos_token_id": 382}', encoding="utf-8"),
        "no longer stops",
    ),
    "a template that is none": (template("{%", "{% for %}{%"), "writes no conversation"),
    "the end token of the tokenizer": (
        lambda folder: (folder / "tokenizer_config.json").unlink(),
        "ends texts with another",
    ),
}


@pytest.mark.parametrize(("change", "what"), CHAT.values(), ids=CHAT)
def test_a_chat_that_is_not_the_original_ones_is_found(change, what):
    original = base()
    found = the_chat_is_that_of_the_original(delivered(copied(original, change), same_as=original), silent)
    assert any(what in finding.what for finding in found)


def test_an_end_token_that_opens_turns_is_found_and_one_that_ends_them_is_not():
    tokenizer = AutoTokenizer.from_pretrained(base())
    stops = json_changed("generation_config.json", eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"))
    original = copied(base(), stops)
    for token, expected in (("<|im_start|>", 1), ("<|im_end|>", 0)):
        changed = copied(original, json_changed("tokenizer_config.json", eos_token=token))
        assert len(the_chat_is_that_of_the_original(delivered(changed, same_as=original), silent)) == expected


KEPT = {
    "a comment in the template": (template("{%", "{# for trl #}{%"), ""),
    "sampling": (json_changed("generation_config.json", do_sample=True, temperature=0.7), "another do_sample"),
    "longer texts": (json_changed("config.json", max_position_embeddings=4096), "another max_position_embeddings"),
}


@pytest.mark.parametrize(("change", "said"), KEPT.values(), ids=KEPT)
def test_what_may_be_another_is_noted_at_most(change, said):
    notes, original = [], base()
    delivery = delivered(copied(original, change), same_as=original)
    assert the_chat_is_that_of_the_original(delivery, notes.append) == []
    assert said in " ".join(notes)


@pytest.mark.parametrize(
    ("kinds", "floor"),
    [
        (["float16"], FLOORS["float16"]),
        (["float32", "bfloat16"], FLOORS["bfloat16"]),
        (["Q8_0"], 2e-3),
        (["Q8_0", "Q5_0"], 2e-3 * 64),
        (["Q4_K"], 0.5),
        (["unknown"], QUANTISED),
    ],
)
def test_a_gguf_file_may_be_as_far_away_as_its_bits_make_it(kinds, floor):
    said = json.dumps({"gguf": "model.gguf", "stored": kinds})
    folder = copied(base(), lambda place: (place / "source.json").write_text(said, encoding="utf-8"))
    assert floor_of(files_of(folder)) == pytest.approx(floor)


def test_a_merge_without_its_bases_generation_config_is_found():
    on = base()
    delivery = delivered(merged(adapted(on), on), same_as=saved(adapted(on), on))
    assert FILES["handover/files_are_complete"](delivery, silent) == []
    (delivery.files.folder / "generation_config.json").unlink()
    (finding,) = FILES["handover/files_are_complete"](delivery, silent)
    assert "generation_config.json" in finding.what


def test_an_adapters_own_tokenizer_without_the_bases_template_is_found():
    def tokenizer(folder):
        for path in base().glob("token*"):
            shutil.copy(path, folder)

    bare = saved(adapted(base()), base())
    (finding,) = FILES["handover/files_are_complete"](delivered(copied(bare, tokenizer)), silent)
    assert "its chat template" in finding.what
    assert FILES["handover/files_are_complete"](delivered(bare), silent) == []
