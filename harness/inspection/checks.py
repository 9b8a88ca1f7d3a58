"""Every check that can be made before training, by the name of the case that makes it in the suites.

The suites, ``preflight`` and the zoo read the same tables, one for each thing that is looked at. A check returns
its findings; an empty list says that it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from harness.chat import answer_ends, atoms, missing, opening, reasoning, roles, round_trip, tool_turns
from harness.chat.probe import ChatProbe
from harness.dataset import checks as of_rows
from harness.findings import silent
from harness.inspection import (
    answers,
    checkpoint,
    choices,
    collation,
    content,
    decoding,
    drift,
    embeddings,
    evaluation,
    generation_settings,
    isolation,
    lengths,
    mask,
    overfit,
    prompts,
    reference_loss,
    reload,
    said_rows,
    saving,
    sources,
    special_ids,
    stopping,
    tools,
)
from harness.inspection.checkpoint import Checkpoint
from harness.inspection.matching import Inspection
from harness.models.base import Model
from harness.records import Finding, SampleSet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer


ROWS_READ = 20_000
"""Rows whose text ``preflight`` reads, a matter of seconds; the data suite reads all of them."""

CHAT: dict[str, Callable[[PreTrainedTokenizerBase, ChatProbe], list[Finding]]] = {
    "template/every_control_string_is_one_token": atoms.control_strings_are_atomic,
    "template/messages_survive_once_and_in_order": round_trip.messages_survive,
    "template/rows_and_prompts_start_with_the_same_single_bos": round_trip.bos_is_single,
    "template/the_generation_prompt_is_what_rows_have_before_an_answer": opening.generation_prompt_opens_the_turn,
    "template/a_conversation_renders_the_same_every_time": round_trip.rendering_is_repeatable,
    "template/every_answer_ends_once_and_opens_no_turn": answer_ends.every_answer_ends_once,
    "template/every_role_has_a_header_of_its_own": roles.roles_are_told_apart,
    "template/tool_calls_and_results_are_rendered_whole": tool_turns.tools_are_written_whole,
    "template/a_missing_content_is_not_written_as_text": missing.missing_content_is_not_text,
    "template/reasoning_is_written_in_balance": reasoning.reasoning_is_balanced,
}
"""Of a tokenizer and its chat template alone."""

CHECKPOINT: dict[str, Callable[[Checkpoint], list[Finding]]] = {
    "template/the_template_is_the_recorded_one": drift.template_is_the_recorded_one,
    "template/every_id_has_an_embedding": checkpoint.ids_fit_the_model,
    "template/decoded_text_encodes_to_the_same_ids": reload.encoding_is_stable,
    "template/the_tokenizer_is_what_its_file_says": reload.tokenizer_is_what_its_file_says,
    "template/saving_and_loading_keeps_the_tokenizer": reload.saving_keeps_the_tokenizer,
    "stopping/generation_stops_where_the_template_ends_a_turn": stopping.terminator_stops_generation,
    "stopping/nothing_keeps_the_model_from_ending": stopping.nothing_holds_the_terminator_back,
    "stopping/the_generation_settings_are_the_recorded_ones": generation_settings.settings_are_the_recorded_ones,
    "stopping/special_ids_agree_across_the_files": special_ids.special_ids_agree,
}
"""Of the files of a model, without its weights."""

BATCHES: dict[str, Callable[[Inspection], list[Finding]]] = {
    "mask/rows_are_what_the_template_renders": sources.rows_are_what_the_template_renders,
    "mask/rows_start_with_one_bos_at_most": sources.rows_start_with_one_bos,
    "mask/every_message_reaches_its_row": sources.messages_reach_the_row,
    "mask/content_and_terminator_of_every_turn_are_supervised_and_nothing_else": mask.turns_are_supervised,
    "mask/some_row_teaches_the_model_to_stop": mask.terminator_is_learned,
    "mask/no_row_is_lost_or_left_with_nothing_to_learn": sources.every_row_teaches,
    "mask/labels_are_the_ids_and_are_shifted_by_the_model_alone": collation.labels_are_the_ids,
    "mask/padding_is_neither_seen_nor_supervised": collation.padding_is_ignored,
    "mask/the_collator_leaves_labels_as_they_were_prepared": collation.collator_keeps_labels,
    "mask/the_collator_leaves_its_rows_alone": collation.collator_leaves_its_rows_alone,
    "mask/packed_documents_are_kept_apart": collation.packed_documents_are_apart,
    "mask/an_answer_is_prompted_as_at_inference": prompts.answers_follow_the_prompt,
    "mask/prompts_end_where_answers_begin": prompts.prompts_end_where_answers_begin,
    "mask/texts_open_the_answer_as_the_template_does": prompts.texts_open_the_answer,
    "mask/masks_that_rows_bring_are_used": collation.masks_of_rows_are_used,
    "mask/template_options_are_known_to_the_template": content.template_options_are_known,
    "mask/contents_write_no_control_tokens": content.contents_write_no_control_tokens,
    "mask/no_answer_is_empty": content.no_answer_is_empty,
    "mask/few_rows_are_cut": lengths.few_rows_are_cut,
    "mask/tools_of_the_rows_are_rendered": tools.tools_of_the_rows_are_rendered,
    "mask/evaluation_rows_are_supervised_alike": evaluation.evaluation_rows_are_supervised_alike,
}
"""Of the batches that a trainer would train on, beside their source rows."""

TRAINER: dict[str, Callable[[Trainer, Inspection], list[Finding]]] = {
    "mask/the_loss_is_the_mean_over_supervised_tokens": reference_loss.loss_is_the_mean,
    "mask/packed_documents_do_not_see_each_other": isolation.packed_documents_do_not_see_each_other,
    "mask/no_token_sees_the_next": isolation.no_token_sees_the_next,
    "stopping/saving_keeps_the_stop_ids": saving.saving_keeps_the_stop_ids,
    "stopping/tokens_in_use_can_be_learned": embeddings.tokens_in_use_can_be_learned,
}
"""Of the trainer itself: what its model makes of a batch."""

SLOW: dict[str, Callable[[Trainer, Inspection], list[Finding]]] = {
    "stopping/a_short_overfit_teaches_the_model_to_stop": overfit.a_short_overfit_teaches_to_stop,
}
"""Of what the trainer's model learns of a few rows: some dozen steps, and the weights are put back."""

ANSWERS: dict[str, Callable[[Model, SampleSet], list[Finding]]] = {
    "stopping/most_short_answers_end_before_the_limit": answers.most_answers_end,
    "stopping/few_answers_are_empty": answers.few_answers_are_empty,
    "stopping/no_control_text_leaks_into_answers": answers.answers_leak_no_control_text,
    "stopping/answers_are_what_their_ids_say": answers.answers_are_what_their_ids_say,
    "stopping/an_answer_does_not_depend_on_its_batch": answers.answers_do_not_depend_on_their_batch,
    "stopping/an_answer_is_the_same_when_asked_again": decoding.answers_are_the_same_when_asked_again,
    "stopping/an_answer_does_not_depend_on_the_cache": decoding.answers_do_not_depend_on_the_cache,
    "stopping/a_likelihood_does_not_depend_on_its_batch": decoding.likelihoods_do_not_depend_on_their_batch,
    "stopping/no_answer_leaves_the_vocabulary": answers.answers_stay_in_the_vocabulary,
    "forgetting/every_choice_is_scored_whole": choices.choices_are_scored_whole,
    "forgetting/no_prompt_ends_in_a_space": choices.prompts_end_in_no_space,
}
"""Of a model's answers; these need weights, and so are not for the time before training."""


def of_a_trainer(trainer: Trainer, seen: Inspection, saved: Checkpoint) -> dict[str, Callable[[], list[Finding]]]:
    """Everything that can be checked of a trainer before it trains, by name, each ready to be called."""
    rows = said_rows.said(trainer, seen, ROWS_READ)
    return {
        **{name: partial(check, seen.tokenizer, seen.habits) for name, check in CHAT.items()},
        **{name: partial(check, saved) for name, check in CHECKPOINT.items()},
        **{name: partial(check, seen) for name, check in BATCHES.items()},
        **{name: partial(check, trainer, seen) for name, check in TRAINER.items()},
        **{name: partial(check, rows, silent) for name, check in of_rows.ROWS.items()},
    }
