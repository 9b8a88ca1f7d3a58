import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM, MixtralConfig, MixtralForCausalLM, Trainer

from harness.findings import silent
from harness.inspection.stand_in import quiet, tiny_model
from harness.loop.gradients import gradients_of_micro_batches_add_up
from harness.zoo.mask_loss import mean_of_means, mean_of_tokens
from harness.zoo.parts import CHATML, ROWS, loop_of, sft_trainer, tokenizer_with
from harness.zoo.train_gradients import answers_trainer


def told(trainer):
    notes = []
    findings = gradients_of_micro_batches_add_up(loop_of(trainer), notes.append)
    return [finding.what for finding in findings], notes


def trl(**options):
    return sft_trainer(**({"gradient_accumulation_steps": 3, "per_device_train_batch_size": 1} | options))


def with_adapter(trainer):
    with quiet():
        trainer.model = get_peft_model(trainer.model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    return trainer


@pytest.mark.filterwarnings("ignore:`label_smoothing_factor` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_accumulation_steps": 16},
        {"bf16": True},
        {"label_smoothing_factor": 0.1},
        {"neftune_noise_alpha": 5.0},
        {"loss_type": "dft"},
        {"packing": True, "max_length": 60},
        {"padding_free": True},
        {"gradient_checkpointing": True},
    ],
)
@pytest.mark.filterwarnings("ignore:.*padding-free:UserWarning")
@pytest.mark.filterwarnings("ignore:.*flash:UserWarning")
def test_what_trl_accumulates_is_the_whole_batch(options):
    findings, notes = told(trl(**options))
    assert findings == []
    assert "is that of the whole batch within" in notes[0]


def test_an_adapter_and_half_precision_weights_are_no_fault():
    assert told(with_adapter(trl()))[0] == []
    trainer = trl()
    trainer.model.bfloat16()
    assert told(trainer)[0] == []


def test_dropout_is_no_fault():
    trainer = trl()
    trainer.model.config.attention_dropout = 0.5
    for layer in trainer.model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    assert told(trainer)[0] == []


def test_without_accumulation_there_is_nothing_to_prove():
    assert told(sft_trainer()) == ([], ["gradient_accumulation_steps is 1: nothing accumulates"])


def test_own_losses_are_judged_by_what_they_do():
    assert told(answers_trainer())[0] == []
    trainer = answers_trainer()
    trainer.compute_loss_func = mean_of_tokens
    assert told(trainer)[0] == []
    trainer.compute_loss_func = mean_of_means  # which Trainer takes for scaled, as every compute_loss_func
    assert told(trainer)[0] == ["accumulated gradients are too large by the number of micro-batches"]


def test_a_mean_of_rows_that_is_divided_by_the_number_of_micro_batches_is_meant():
    trainer = answers_trainer()
    trainer.compute_loss_func = lambda *given, **_: mean_of_means(*given) / trainer.args.gradient_accumulation_steps
    assert told(trainer)[0] == []


def test_what_balances_experts_is_no_part_of_it():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_local_experts": 4}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "output_router_logits": True}
    vocabulary = len(tokenizer_with(CHATML))
    trainer = answers_trainer()
    trainer.model = MixtralForCausalLM(MixtralConfig(vocab_size=vocabulary, **sizes, **heads))
    assert told(trainer)[0] == []
    assert trainer.model.config.output_router_logits


def test_a_model_that_is_not_told_of_the_other_tokens_is_found():
    class Closed(LlamaForCausalLM):
        def forward(self, input_ids, attention_mask=None, labels=None):
            return super().forward(input_ids=input_ids, attention_mask=attention_mask, labels=labels)

    tokenizer = tokenizer_with(CHATML)
    sound = answers_trainer()
    trainer = Trainer(
        model=Closed(tiny_model(tokenizer).config),
        args=sound.args,
        train_dataset=sound.train_dataset,
        data_collator=sound.data_collator,
        processing_class=tokenizer,
    )
    assert told(trainer)[0] == ["micro-batches do not add up to the whole batch"]


def test_noise_is_no_fault_of_the_accumulation():
    class Noisy(Trainer):
        def compute_loss(self, model, inputs, *given, **options):
            return super().compute_loss(model, inputs, *given, **options) * torch.rand(())

    findings, notes = told(answers_trainer(Noisy))
    assert findings == []
    assert "nothing can be said" in notes[0]


def test_the_trainer_is_left_as_it_was():
    trainer = with_adapter(trl())
    trainer.model.train()
    for weight in trainer.model.parameters():
        weight.grad = torch.ones_like(weight)
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    attributes, state = set(vars(trainer)), torch.get_rng_state()
    gradients_of_micro_batches_add_up(loop_of(trainer, ROWS), silent)
    assert all(torch.equal(before[name], weight) for name, weight in trainer.model.named_parameters())
    assert all(bool((weight.grad == 1).all()) for weight in trainer.model.parameters())
    assert all(module.training for module in trainer.model.modules())
    assert "train" not in vars(trainer.model)
    assert set(vars(trainer)) == attributes
    assert trainer.args.gradient_accumulation_steps == 3
    assert torch.equal(state, torch.get_rng_state())
