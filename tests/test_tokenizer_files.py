"""The files of a tokenizer's folder beside each other: one encoding, one set of control tokens, one template."""

from __future__ import annotations

import json

import pytest
from transformers import AddedToken, AutoTokenizer

from harness.chat.atoms import control_strings_are_atomic
from harness.chat.probe import probe
from harness.inspection.folder_templates import templates_in
from harness.inspection.probe_texts import random_text
from harness.inspection.reload import encoding_is_stable, saving_keeps_the_tokenizer, tokenizer_is_what_its_file_says
from harness.zoo.parts import CHATML, checkpoint_of, tokenizer_with
from tokenizer_kinds import sentencepiece_like

OTHER = CHATML.replace("<|im_end|>\n", "<|im_end|>")

TIDY = ("clean_up_tokenization_spaces", "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output")


@pytest.fixture
def folder(tmp_path):
    tokenizer_with(CHATML).save_pretrained(tmp_path)
    return tmp_path


def loaded(folder):
    return checkpoint_of(AutoTokenizer.from_pretrained(folder), folder=folder)


def edit(file, change):
    stated = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    change(stated)
    file.write_text(json.dumps(stated), encoding="utf-8")


def without(text):
    def change(stated):
        stated["added_tokens"] = [token for token in stated["added_tokens"] if token["content"] != text]

    return change


def marked(text, special):
    def change(stated):
        next(token for token in stated["added_tokens"] if token["content"] == text)["special"] = special

    return change


def test_a_folder_as_it_is_saved_is_fine(folder):
    assert tokenizer_is_what_its_file_says(loaded(folder)) == []


def test_a_control_token_that_only_the_config_adds_is_found(folder):
    edit(folder / "tokenizer.json", without("<|im_end|>"))
    (finding,) = tokenizer_is_what_its_file_says(loaded(folder))
    assert "lacks the control token '<|im_end|>'" in finding.what
    assert "'<|im_end|>' in " in finding.found


def test_saving_the_tokenizer_again_is_the_remedy(folder):
    edit(folder / "tokenizer.json", without("<|im_end|>"))
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    assert tokenizer_is_what_its_file_says(loaded(folder)) == []


def test_a_token_that_a_script_adds_is_no_fault_of_the_folder(tmp_path):
    tokenizer_with(None, special=()).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    saved = checkpoint_of(tokenizer, folder=tmp_path)
    assert tokenizer_is_what_its_file_says(saved) == []
    assert saving_keeps_the_tokenizer(saved) == []


def test_a_token_that_is_special_to_one_reader_alone_is_found(folder):
    edit(folder / "tokenizer.json", marked("<|end|>", special=False))
    ended_by_eos = CHATML.replace("<|im_end|>", "<|end|>")
    (folder / "chat_template.jinja").write_text(ended_by_eos)
    saved = loaded(folder)
    end = saved.tokenizer.eos_token_id
    assert saved.tokenizer.decode([end], skip_special_tokens=True) == ""
    (finding,) = tokenizer_is_what_its_file_says(saved)
    assert "special to one reader" in finding.what
    edit(folder / "tokenizer.json", marked("<|end|>", special=True))
    assert tokenizer_is_what_its_file_says(loaded(folder)) == []


def test_a_token_that_swallows_white_space_for_one_reader_alone_is_found(folder):
    end = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<|im_end|>")
    entry = {"content": "<|im_end|>", "lstrip": False, "rstrip": True, "normalized": False, "special": True}
    entry["single_word"] = False
    edit(folder / "tokenizer_config.json", lambda stated: stated.update(added_tokens_decoder={str(end): entry}))
    assert AutoTokenizer.from_pretrained(folder).added_tokens_decoder[end].rstrip
    (finding,) = tokenizer_is_what_its_file_says(loaded(folder))
    assert "other control tokens or texts" in finding.what


@pytest.mark.parametrize("prefix", [{}, {"legacy": True}, {"legacy": False}], ids=str)
def test_older_models_may_disagree_on_the_space_mark_after_a_control_token(tmp_path, prefix):
    tokenizer = sentencepiece_like("first")
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(tmp_path)
    spaces = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    as_of_old = {"normalizer": {"type": "Sequence", "normalizers": spaces}, "pre_tokenizer": None}
    edit(tmp_path / "tokenizer.json", lambda stated: stated.update(as_of_old))
    edit(
        tmp_path / "tokenizer_config.json", lambda stated: stated.update({"tokenizer_class": "LlamaTokenizer"} | prefix)
    )
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    saved = loaded(tmp_path)
    assert type(saved.tokenizer).__name__ == "LlamaTokenizer"
    assert tokenizer_is_what_its_file_says(saved) == []


def test_a_control_token_that_is_special_to_nobody_raises_no_alarm(tmp_path):
    tokenizer = tokenizer_with(CHATML, special=("<|im_end|>",))
    tokenizer.add_tokens([AddedToken("<|im_start|>", special=False, normalized=False)])
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_is_what_its_file_says(loaded(tmp_path)) == []


@pytest.mark.parametrize("file", ["tokenizer_config.json", "chat_template.json"])
def test_two_templates_in_one_folder_are_found_and_two_copies_are_fine(folder, file):
    edit(folder / file, lambda stated: stated.update(chat_template=CHATML))
    assert len(templates_in(folder)) == 2
    assert tokenizer_is_what_its_file_says(loaded(folder)) == []
    edit(folder / file, lambda stated: stated.update(chat_template="{# the same #}" + CHATML))
    assert tokenizer_is_what_its_file_says(loaded(folder)) == []
    edit(folder / file, lambda stated: stated.update(chat_template=OTHER))
    (finding,) = tokenizer_is_what_its_file_says(loaded(folder))
    assert "chat_template.jinja" in finding.where
    assert file in finding.found
    assert "read by older versions" in finding.found


def test_a_template_that_renders_nothing_is_found(folder):
    edit(folder / "tokenizer_config.json", lambda stated: stated.update(chat_template="{% for %}"))
    assert len(tokenizer_is_what_its_file_says(loaded(folder))) == 1


def test_templates_under_other_names_are_there_to_differ(folder):
    named = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": OTHER}]
    edit(folder / "tokenizer_config.json", lambda stated: stated.update(chat_template=named))
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(OTHER)
    assert set(templates_in(folder).values()) == {CHATML}
    assert tokenizer_is_what_its_file_says(loaded(folder)) == []


def test_a_processors_template_of_typed_parts_may_write_what_the_tokenizers_writes_of_text(folder):
    of_parts = CHATML.replace("m['content']", "m['content'][0]['text']")
    edit(folder / "chat_template.json", lambda stated: stated.update(chat_template=of_parts))
    assert tokenizer_is_what_its_file_says(loaded(folder)) == []


def test_a_template_that_a_script_sets_is_no_matter_of_the_folders_files(folder):
    edit(folder / "tokenizer_config.json", lambda stated: stated.update(chat_template=OTHER))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHATML.replace("\n", " ")
    assert tokenizer_is_what_its_file_says(checkpoint_of(tokenizer, folder=folder)) == []


def test_random_encodings_are_told_of_once(folder):
    edit(folder / "tokenizer.json", lambda stated: stated["model"].update(dropout=0.1))
    saved = loaded(folder)
    (finding,) = encoding_is_stable(saved)
    assert "random" in finding.what
    assert tokenizer_is_what_its_file_says(saved) == []
    assert saving_keeps_the_tokenizer(saved) == []
    assert random_text(tokenizer_with(CHATML)) == ""


@pytest.mark.parametrize("prefix", [True, False])
def test_the_remedy_names_what_changes_the_text(folder, prefix):
    def change(stated):
        stated["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True

    if prefix:
        edit(folder / "tokenizer.json", change)
    else:
        edit(folder / "tokenizer_config.json", lambda stated: stated.update(dict.fromkeys(TIDY, True)))
    findings = encoding_is_stable(loaded(folder))
    assert findings
    assert all(("pre-tokenizer" in finding.remedy) == prefix for finding in findings)
    assert all(("clean_up_tokenization_spaces" in finding.remedy) != prefix for finding in findings)


@pytest.mark.parametrize("split", [True, False])
def test_control_tokens_that_a_flag_splits_have_the_flag_in_the_remedy(split):
    tokenizer = tokenizer_with(CHATML)
    habits = probe(tokenizer)
    tokenizer.split_special_tokens = split
    findings = control_strings_are_atomic(tokenizer, habits)
    assert bool(findings) == split
    assert all("split_special_tokens" in finding.remedy for finding in findings if "special token" in finding.what)
