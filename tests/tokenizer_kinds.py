"""Tokenizers as models have them, of bytes and of pieces with ``▁``, each with every format's control tokens."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from harness.chat.formats import FORMATS
from harness.zoo.parts import PROSE, tokenizer_with

CONTROLS = tuple(dict.fromkeys(text for chosen in FORMATS.values() for text in chosen.controls))


def sentencepiece_like(prepend_scheme: str) -> PreTrainedTokenizerFast:
    """Pieces begin with ``▁`` or hold none, bytes stand for what is in no piece, and BOS comes before every text."""
    bare = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    bare.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)
    bare.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special, single_bytes = ["<unk>", "<s>", "</s>"], [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special + single_bytes, show_progress=False)
    bare.train_from_iterator(PROSE.splitlines(), trainer)
    written = json.loads(bare.to_str())
    # The trainer knows no other way to put bytes into the vocabulary than as control tokens, which they are not.
    written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] in special]
    bare = Tokenizer.from_str(json.dumps(written))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )
    tokenizer.add_special_tokens({"extra_special_tokens": list(CONTROLS)})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return tokenizer


TOKENIZERS = {
    "bytes": lambda: tokenizer_with(None, CONTROLS),
    "bytes after BOS": lambda: tokenizer_with(None, CONTROLS, adds_bos=True),
    "spaces before the first word": lambda: sentencepiece_like("first"),
    "spaces before every piece": lambda: sentencepiece_like("always"),
}
