"""A byte-level tokenizer small enough for tests, and the chat templates and rows that they are about."""

import functools

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PROSE = """The gate opens at noon and closes at six. A fox may cross the garden before the rain begins.
user assistant system Assistant: User: System: What is the capital of the country? It is a quiet town by the sea.
def add(left, right):\n    return left + right\n"""

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WITH_BOS = "{{ bos_token }}" + CHATML

ROWS = [
    {
        "messages": [
            {"role": "user", "content": "What opens at noon?"},
            {"role": "assistant", "content": "The gate."},
        ]
    },
    {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Who crosses the garden?"},
            {"role": "assistant", "content": "A fox."},
            {"role": "user", "content": "A fox."},
            {"role": "assistant", "content": "Yes: user\nA fox."},
        ]
    },
    {
        "messages": [
            {"role": "user", "content": "今天天气好吗？"},
            {"role": "assistant", "content": "很好 and the rain begins before six."},
        ]
    },
]


@functools.cache
def _trained() -> str:
    tokenizer = Tokenizer(models.BPE())
    # lines and words apart, as the tokenizers of current models split them
    split = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer.to_str()


def tokenizer_with(template, special=("<|im_start|>", "<|im_end|>"), eos="<|end|>", adds_bos=False):
    """A tokenizer with this chat template and these control tokens; ``adds_bos`` puts BOS before every text."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()), bos_token="<|begin|>", eos_token=eos, pad_token="<|pad|>"
    )
    tokenizer.add_special_tokens({"extra_special_tokens": list(special)})
    tokenizer.chat_template = template
    if adds_bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", tokenizer.bos_token_id)]
        )
    return tokenizer
