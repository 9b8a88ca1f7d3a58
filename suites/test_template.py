"""Template round trip: does what a user writes reach the model whole, once, and framed as it was trained?"""

import pytest

from harness.chat import answer_ends, atoms, missing, opening, reasoning, roles, round_trip, tool_turns
from harness.inspection import checkpoint, drift, reload

pytestmark = [pytest.mark.template, pytest.mark.preflight]


def test_every_control_string_is_one_token(tokenizer, chat_probe, no_findings):
    no_findings(atoms.control_strings_are_atomic(tokenizer, chat_probe))


def test_messages_survive_once_and_in_order(tokenizer, chat_probe, no_findings):
    no_findings(round_trip.messages_survive(tokenizer, chat_probe))


def test_rows_and_prompts_start_with_the_same_single_bos(tokenizer, chat_probe, no_findings):
    no_findings(round_trip.bos_is_single(tokenizer, chat_probe))


def test_the_generation_prompt_is_what_rows_have_before_an_answer(tokenizer, chat_probe, no_findings):
    no_findings(opening.generation_prompt_opens_the_turn(tokenizer, chat_probe))


def test_every_answer_ends_once_and_opens_no_turn(tokenizer, chat_probe, no_findings):
    no_findings(answer_ends.every_answer_ends_once(tokenizer, chat_probe))


def test_every_role_has_a_header_of_its_own(tokenizer, chat_probe, no_findings):
    no_findings(roles.roles_are_told_apart(tokenizer, chat_probe))


def test_tool_calls_and_results_are_rendered_whole(tokenizer, chat_probe, no_findings):
    no_findings(tool_turns.tools_are_written_whole(tokenizer, chat_probe))


def test_a_missing_content_is_not_written_as_text(tokenizer, chat_probe, no_findings):
    no_findings(missing.missing_content_is_not_text(tokenizer, chat_probe))


def test_reasoning_is_written_in_balance(tokenizer, chat_probe, no_findings):
    no_findings(reasoning.reasoning_is_balanced(tokenizer, chat_probe))


def test_the_template_is_the_recorded_one(saved, no_findings):
    no_findings(drift.template_is_the_recorded_one(saved))


def test_every_id_has_an_embedding(saved, no_findings):
    no_findings(checkpoint.ids_fit_the_model(saved))


def test_decoded_text_encodes_to_the_same_ids(saved, no_findings):
    no_findings(reload.encoding_is_stable(saved))


def test_a_conversation_renders_the_same_every_time(tokenizer, chat_probe, no_findings):
    no_findings(round_trip.rendering_is_repeatable(tokenizer, chat_probe))


def test_the_tokenizer_is_what_its_file_says(saved, no_findings):
    no_findings(reload.tokenizer_is_what_its_file_says(saved))


def test_saving_and_loading_keeps_the_tokenizer(saved, no_findings):
    no_findings(reload.saving_keeps_the_tokenizer(saved))


def test_habits_of_the_template_are_reported(chat_probe, note):
    note(f"habits of the chat template: {chat_probe.summary}")
    for habit in chat_probe.notes:
        note(habit)
