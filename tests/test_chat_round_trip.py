import json

import pytest
from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from harness.chat import atoms, opening, round_trip
from harness.chat.probe import probe
from harness.chat.template import template_digest
from harness.errors import ModelError
from harness.inspection import checkpoint, reload, stopping
from harness.inspection.checkpoint import Checkpoint
from harness.zoo.parts import CHATML, MARKED, WITH_BOS, tokenizer_with

LLAMA_2_LIKE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + ' ' + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
ROLE_NAMES_AS_TEXT = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
PREFILLED = CHATML.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>\n' }}")
DATED = "{{ '<|im_start|>system\n' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}" + CHATML
STRIPPING = CHATML.replace("m['content']", "m['content'] | trim")
LEGITIMATE = (CHATML, MARKED, WITH_BOS, LLAMA_2_LIKE, ROLE_NAMES_AS_TEXT, PREFILLED, DATED, STRIPPING)


def saved_as(tokenizer, **parts):
    return Checkpoint(tokenizer, probe(tokenizer), **parts)


def everything_wrong_with(tokenizer):
    habits = probe(tokenizer)
    saved = saved_as(tokenizer, stop_ids={habits.terminator_id} - {None}, vocab_rows=len(tokenizer))
    return [
        *atoms.control_strings_are_atomic(tokenizer, habits),
        *round_trip.messages_survive(tokenizer, habits),
        *round_trip.bos_is_single(tokenizer, habits),
        *opening.generation_prompt_opens_the_turn(tokenizer, habits),
        *stopping.terminator_stops_generation(saved),
        *reload.encoding_is_stable(saved),
        *checkpoint.ids_fit_the_model(saved),
        *round_trip.rendering_is_repeatable(tokenizer, habits),
    ]


@pytest.mark.parametrize("template", LEGITIMATE)
def test_a_legitimate_template_raises_no_alarm(template):
    assert everything_wrong_with(tokenizer_with(template)) == []


def test_a_tokenizer_that_adds_bos_to_plain_text_raises_no_alarm():
    tokenizer = tokenizer_with(WITH_BOS, adds_bos=True)
    assert everything_wrong_with(tokenizer) == []
    assert any("second BOS" in note for note in probe(tokenizer).notes)


@pytest.mark.parametrize(
    ("special", "what"),
    [
        (("<|im_start|>",), "no control token ends an assistant turn"),
        (("<|im_end|>",), "the template writes '<|im_start|>', which is not one token"),
    ],
)
def test_a_control_string_of_several_tokens_is_found(special, what):
    assert what in everything_wrong_with(tokenizer_with(CHATML, special=special))[0].what


def test_a_lost_system_message_is_found():
    template = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
    (finding,) = everything_wrong_with(tokenizer_with(template))
    assert "system (0 times)" in finding.found


def test_a_doubled_message_is_found():
    template = CHATML.replace("m['content']", "m['content'] + (m['content'] if loop.last else '')")
    tokenizer = tokenizer_with(CHATML)
    habits = probe(tokenizer)
    tokenizer.chat_template = template
    assert "loses, doubles or reorders" in round_trip.messages_survive(tokenizer, habits)[0].what


@pytest.mark.parametrize(
    "filtered",
    ["m['content'][:40]", "m['content']|lower", "m['content'].split('\n')[0]", "m['content']|tojson", "m['content']|e"],
)
def test_a_template_that_rewrites_a_content_is_found(filtered):
    whats = {f.what for f in everything_wrong_with(tokenizer_with(CHATML.replace("m['content']", filtered)))}
    assert "the template changes what the user says" in whats
    assert "the template changes what the assistant says" in whats


def test_a_template_that_trims_contents_raises_no_alarm():
    assert everything_wrong_with(tokenizer_with(CHATML.replace("m['content']", "m['content']|trim"))) == []


def test_a_template_that_forgets_the_beginning_of_a_long_conversation_is_found():
    template = CHATML.replace("for m in messages", "for m in messages[-8:]")
    assert "the template loses, doubles or reorders messages" in {
        finding.what for finding in everything_wrong_with(tokenizer_with(template))
    }


def test_a_generation_prompt_that_a_system_message_takes_away_is_found():
    template = CHATML.replace(
        "{% if add_generation_prompt", "{% if messages[0].role != 'system' and add_generation_prompt"
    )
    whats = {finding.what for finding in everything_wrong_with(tokenizer_with(template))}
    assert whats == {"the generation prompt is not what training rows have before an answer"}


def test_the_digest_names_what_is_written_and_not_how():
    digest = template_digest(tokenizer_with(CHATML))
    assert template_digest(tokenizer_with("{# a comment #}" + CHATML)) == digest
    assert template_digest(tokenizer_with(CHATML.replace("<|im_end|>", "<|im_end|> "))) != digest
    dated = "{{ strftime_now('%d') }}" + CHATML
    assert template_digest(tokenizer_with(dated)) == template_digest(tokenizer_with(dated)) != digest


def test_two_bos_tokens_are_found():
    findings = everything_wrong_with(tokenizer_with("{{ bos_token }}" + WITH_BOS))
    assert [finding.what for finding in findings] == [
        "a training row starts with 2 BOS tokens",
        "a prompt of inference starts with 2 BOS tokens",
    ]


def test_a_bos_that_only_rows_have_is_found():
    template = "{% if not add_generation_prompt %}{{ bos_token }}{% endif %}" + CHATML
    whats = [finding.what for finding in everything_wrong_with(tokenizer_with(template))]
    assert "training rows and prompts of inference start differently" in whats


HEADER = "{{ '<|im_start|>assistant\n' }}"


@pytest.mark.parametrize(
    "prompt",
    ["", "{{ '<|im_start|>model\n' }}", "{{ '<|im_start|>assistant\n\n' }}", "{{ '<|im_start|>assistant: ' }}"],
)
def test_a_generation_prompt_unlike_the_rows_is_found(prompt):
    whats = {finding.what for finding in everything_wrong_with(tokenizer_with(CHATML.replace(HEADER, prompt)))}
    assert whats == {"the generation prompt is not what training rows have before an answer"}


def test_a_trailing_space_in_the_generation_prompt_is_found():
    template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:SPACE' }}{% endif %}"
    )
    assert everything_wrong_with(tokenizer_with(template.replace("SPACE", ""))) == []
    assert everything_wrong_with(tokenizer_with(template.replace("SPACE", " "))) != []


def test_a_terminator_on_which_generation_does_not_stop_is_found():
    tokenizer = tokenizer_with(CHATML)
    (finding,) = stopping.terminator_stops_generation(saved_as(tokenizer, stop_ids={tokenizer.eos_token_id}))
    assert "<|im_end|>" in finding.expected
    assert "<|end|>" in finding.found


def test_an_id_beyond_the_embeddings_is_found():
    tokenizer = tokenizer_with(CHATML)
    findings = checkpoint.ids_fit_the_model(saved_as(tokenizer, vocab_rows=probe(tokenizer).terminator_id))
    assert any("terminator" in finding.where for finding in findings)


def test_a_decoder_that_tidies_the_text_is_found():
    tokenizer = tokenizer_with(CHATML)
    tokenizer.backend_tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(" ,", ",")])
    assert "decoding changes the text" in everything_wrong_with(tokenizer)[0].what


def test_saving_and_loading_changes_nothing():
    assert reload.saving_keeps_the_tokenizer(saved_as(tokenizer_with(WITH_BOS, adds_bos=True))) == []


def test_a_template_that_is_not_saved_is_found(monkeypatch):
    load = AutoTokenizer.from_pretrained

    def without_template(folder):
        (folder / "chat_template.jinja").unlink()
        return load(folder)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", without_template)
    (finding,) = reload.saving_keeps_the_tokenizer(saved_as(tokenizer_with(CHATML)))
    assert finding.found == "no template"


def test_a_truncation_left_in_the_file_is_found(tmp_path):
    tokenizer = tokenizer_with(CHATML)
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    saved = json.loads(file.read_text())
    assert reload.file_holds_no_call_state(tokenizer, file) == []
    saved["truncation"] = {"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
    file.write_text(json.dumps(saved))
    assert "keeps the truncation" in reload.file_holds_no_call_state(tokenizer, file)[0].what


def test_a_class_that_ignores_the_saved_splitting_is_found():
    tokenizer, rebuilt = tokenizer_with(CHATML), tokenizer_with(CHATML)
    rebuilt.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("a", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    findings = reload.encodings_are_kept(tokenizer, rebuilt, probe(tokenizer))
    assert "encodes differently" in findings[0].what


def test_a_tokenizer_that_is_not_what_its_file_says_is_found(tmp_path):
    tokenizer = tokenizer_with(CHATML)
    letters_alone = pre_tokenizers.Split("e", "isolated")
    split = pre_tokenizers.Sequence([letters_alone, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.backend_tokenizer.pre_tokenizer = split
    tokenizer.save_pretrained(tmp_path)
    assert reload.tokenizer_is_what_its_file_says(saved_as(AutoTokenizer.from_pretrained(tmp_path))) == []
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tokenizer_class": "Qwen2Tokenizer"}))
    rebuilt = AutoTokenizer.from_pretrained(tmp_path)
    findings = reload.tokenizer_is_what_its_file_says(saved_as(rebuilt))
    assert {finding.what for finding in findings} == {"the tokenizer does not encode as its tokenizer.json says"}
    assert "Qwen2Tokenizer" in findings[0].found


def test_a_tokenizer_that_was_never_in_a_file_raises_no_alarm():
    assert reload.tokenizer_is_what_its_file_says(saved_as(tokenizer_with(CHATML))) == []


def test_a_truncation_at_the_models_own_length_raises_no_alarm(tmp_path):
    tokenizer = tokenizer_with(CHATML)
    tokenizer.model_max_length = 64
    tokenizer("a text", truncation=True, max_length=64, padding="longest")
    tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"]["max_length"] == 64
    assert reload.file_holds_no_call_state(tokenizer, tmp_path / "tokenizer.json") == []


DEPENDS = "the control token '<|im_end|>'"


def test_a_control_token_that_a_word_beside_it_undoes_is_found():
    tokenizer = tokenizer_with(CHATML, special=("<|im_start|>",))
    tokenizer.add_tokens([AddedToken("<|im_end|>", single_word=True, special=True)], special_tokens=True)
    (finding,) = atoms.control_strings_are_atomic(tokenizer, probe(tokenizer))
    assert finding.what.startswith(DEPENDS)
    assert "depends on the text beside it" in finding.what


@pytest.mark.parametrize("as_special", [False, True])
def test_a_control_token_that_a_normaliser_changes_within_a_text_is_found(as_special):
    tokenizer = tokenizer_with(CHATML, special=())
    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend("_")
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=as_special)
    findings = atoms.control_strings_are_atomic(tokenizer, probe(tokenizer))
    assert any("depends on the text beside it" in finding.what for finding in findings) != as_special


def with_bars(bars):
    user, assistant = (f"<{bars}{name}{bars}>" for name in ("User", "Assistant"))
    template = (
        "{% for m in messages %}{{ 'USER' + m['content'] if m['role'] == 'user' else 'ASSISTANT' + m['content'] }}"
        "{% if m['role'] != 'user' %}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT' }}{% endif %}"
    )
    return template.replace("USER", user).replace("ASSISTANT", assistant)


FULL_WIDTH = "\N{FULLWIDTH VERTICAL LINE}"
ROLES_IN_FULL_WIDTH = (f"<{FULL_WIDTH}User{FULL_WIDTH}>", f"<{FULL_WIDTH}Assistant{FULL_WIDTH}>")


def test_a_marker_that_only_looks_like_a_token_of_the_vocabulary_is_found():
    meant = tokenizer_with(with_bars(FULL_WIDTH), special=ROLES_IN_FULL_WIDTH)
    assert atoms.control_strings_are_atomic(meant, probe(meant)) == []
    as_text = tokenizer_with(with_bars("|"))
    assert atoms.control_strings_are_atomic(as_text, probe(as_text)) == []
    mistyped = tokenizer_with(with_bars("|"), special=ROLES_IN_FULL_WIDTH)
    assistant, user = atoms.control_strings_are_atomic(mistyped, probe(mistyped))
    assert ROLES_IN_FULL_WIDTH[0] in user.remedy
    assert ROLES_IN_FULL_WIDTH[1] in assistant.remedy


def test_a_bos_that_does_not_stand_first_is_found():
    tokenizer = tokenizer_with("{{ '\n' + bos_token }}" + CHATML)
    assert "the BOS token does not stand first in a training row" in {
        finding.what for finding in round_trip.bos_is_single(tokenizer, probe(tokenizer))
    }


@pytest.mark.parametrize(
    ("where", "who"),
    [
        ("m['role'] == 'system'", ["system"]),
        ("m['role'] == 'tool'", ["tool"]),
        ("m['role'] == 'user' and loop.index0 > 1", ["user"]),
    ],
)
def test_a_content_that_is_changed_in_one_place_alone_is_found(where, who):
    template = CHATML.replace("m['content']", f"(m['content'] | lower if {where} else m['content'])")
    tokenizer = tokenizer_with(template)
    whats = [finding.what for finding in round_trip.messages_survive(tokenizer, probe(tokenizer))]
    assert whats == [f"the template changes what the {role} says" for role in who]


def test_a_result_of_a_tool_that_is_written_as_json_raises_no_alarm():
    template = CHATML.replace("m['content']", "(m['content'] | tojson if m['role'] == 'tool' else m['content'])")
    assert everything_wrong_with(tokenizer_with(template)) == []


OFFERED = (
    "{% if tools %}{{ '<|im_start|>system\n' }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}"
    "{% endif %}{{ tools | tojson }}{{ '<|im_end|>\n' }}{% endif %}"
) + CHATML.replace("for m in messages", "for m in messages if not (tools and m['role'] == 'system')")


@pytest.mark.parametrize(
    ("written", "instead", "what"),
    [
        ("{{ messages[0]['content'] }}", "", "the template loses, doubles or reorders messages"),
        (" if not (tools and m['role'] == 'system')", "", "the template loses, doubles or reorders messages"),
        (
            "if add_generation_prompt",
            "if add_generation_prompt and not tools",
            "the generation prompt is not what training rows have before an answer",
        ),
    ],
    ids=["lost", "doubled", "not opened"],
)
def test_what_goes_wrong_only_when_tools_are_offered_is_found(written, instead, what):
    assert everything_wrong_with(tokenizer_with(OFFERED)) == []
    whats = {finding.what for finding in everything_wrong_with(tokenizer_with(OFFERED.replace(written, instead)))}
    assert whats == {f"{what} when tools are offered"}


def test_a_system_message_that_only_prompts_have_is_told_as_such():
    template = CHATML.replace(
        "for m in messages", "for m in messages if m['role'] != 'system' or messages[-1]['role'] == 'user'"
    )
    tokenizer = tokenizer_with(template)
    finding = round_trip.messages_survive(tokenizer, probe(tokenizer))[0]
    assert finding.found.startswith("the system message is written in a prompt, lost in a row")
    assert "whoever speaks last" in finding.remedy


def test_a_refusal_of_the_template_is_told_in_its_own_words():
    with pytest.raises(ModelError, match=r"one user message: TemplateError: only poems"):
        probe(tokenizer_with("{{ raise_exception('only poems\nplease') }}"))
