"""A checkpoint without its weights: tokenizer and settings, read in a second from a folder of gigabytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.chat.template import prepare, template_digest
from harness.errors import ModelError
from harness.models.fetch import Access, checkpoint_folder
from harness.models.stated_ids import stop_ids_of
from harness.models.weight_files import stored_tensors
from harness.provenance import TOKENIZER, files_digest
from harness.references import CAUTIOUS, ModelRef, Trust, adapter_base, parse_reference, read_json

UNREADABLE = (OSError, ValueError, KeyError, ImportError)
"""What transformers raises on files that are damaged, absent, or of an architecture that it does not know."""


@dataclass(frozen=True)
class ModelFiles:
    """What a checkpoint holds beside its weights.

    ``base`` is the folder of the model that an adapter sits on, None where the checkpoint is no adapter; ``home`` is
    the folder that the tokenizer comes from. ``config`` and ``generation_config`` are transformers' objects, an
    adapter's those of its base; ``stop_ids`` end a generation. ``vocab_rows`` counts the rows of the embedding, None
    where the files do not tell. ``notes`` says what had to be assumed; ``digests`` names tokenizer and template.
    """

    name: str
    folder: Path
    base: Path | None
    base_name: str
    home: Path
    tokenizer: Any
    config: Any
    generation_config: Any
    stop_ids: frozenset[int]
    vocab_rows: int | None
    notes: tuple[str, ...]
    digests: Mapping[str, str]


def read_files(
    ref: ModelRef, access: Access, *, base: ModelRef | None = None, trust: Trust = CAUTIOUS, template_of: Any = None
) -> ModelFiles:
    """Read all of a checkpoint but its weights; ``base`` overrides the adapter's own.

    A tokenizer without a chat template takes that of the tokenizer ``template_of``, where the two have one vocabulary.

    Raises ModelError where a file cannot be used, UsageError where one is not to be had.
    """
    folder = checkpoint_folder(ref, access)
    base_folder, base_name = None, ""
    if (folder / "adapter_config.json").is_file():
        base = base or parse_reference(adapter_base(folder), trust)
        base_folder, base_name = checkpoint_folder(base, access), base.text
        if not (base_folder / "config.json").is_file() and (base_folder / "adapter_config.json").is_file():
            raise ModelError(
                f"{ref.text}: its base {base_name} is an adapter itself; merge that one into its own base first, and "
                "name the merged model with --base-model."
            )
    whole = base_folder or folder
    home = folder if (folder / "tokenizer_config.json").is_file() else whole
    config = _config(whole, base_name or ref.text, trust)
    tokenizer = _tokenizer(home, ref.text, trust)
    notes = (*_borrowed_template(tokenizer, template_of), *prepare(tokenizer))
    generation_config = _generation_config(whole, base_name or ref.text, config)
    return ModelFiles(
        name=ref.text,
        folder=folder,
        base=base_folder,
        base_name=base_name,
        home=home,
        tokenizer=tokenizer,
        config=config,
        generation_config=generation_config,
        stop_ids=stop_ids_of(generation_config, tokenizer),
        vocab_rows=_embedding_rows([folder, whole], config),
        notes=tuple(f"{ref.text}: {note}" for note in notes),
        digests={"tokenizer": files_digest(home, TOKENIZER), "template": template_digest(tokenizer)},
    )


def first_line(error: Exception) -> str:
    """What a library says of a file, short enough for a sentence; a line that ends in a colon goes on in the next."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    spoken = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else type(error).__name__
    return spoken[:240]


def _tokenizer(folder: Path, name: str, trust: Trust) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust.remote_code)
    except UNREADABLE as error:
        raise ModelError(
            f"{name}: the tokenizer cannot be loaded from {folder} ({first_line(error)}); "
            "save it beside the weights with tokenizer.save_pretrained()."
        ) from None


def _borrowed_template(tokenizer: Any, lender: Any) -> tuple[str, ...]:
    """Let a base model without a template be asked as its tuned version is: the same ids in front of both."""
    if tokenizer.chat_template or lender is None or tokenizer.get_vocab() != lender.get_vocab():
        return ()
    tokenizer.chat_template = lender.chat_template
    return ("the tokenizer has no chat template: it is asked with that of the tuned model",)


def _config(folder: Path, name: str, trust: Trust) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=trust.remote_code)
    except (*UNREADABLE, StrictDataclassError) as error:
        raise ModelError(
            f"{name}: transformers cannot read config.json ({first_line(error)}); save the checkpoint again."
        ) from None


def _generation_config(folder: Path, name: str, config: Any) -> Any:
    """As a loaded model has it: from its own file, else from what older checkpoints say of it in config.json."""
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").is_file():
        return GenerationConfig.from_model_config(config)
    read_json(folder / "generation_config.json")  # transformers takes a damaged file for one that is not there
    try:
        return GenerationConfig.from_pretrained(folder)
    except UNREADABLE as error:
        raise ModelError(
            f"{name}: transformers cannot use generation_config.json ({first_line(error)}); correct it or remove it."
        ) from None


def _embedding_rows(folders: list[Path], config: Any) -> int | None:
    """The rows of the input embedding: as the weights' headers tell, an adapter's first, else as config.json does."""
    text = config.get_text_config()
    stated, width = getattr(text, "vocab_size", None), getattr(text, "hidden_size", None)
    for folder in folders:
        rows = {shape[0] for name, shape in _shapes(folder) if _embeds_tokens(name) and shape[1:] == (width,)}
        if len(rows) == 1:
            return rows.pop()
    return stated if isinstance(stated, int) else None


def _embeds_tokens(name: str) -> bool:
    """Whether a tensor's name is that of a table of token embeddings, as all libraries name it, in some spelling."""
    lower = name.lower()
    if not lower.endswith(".weight"):
        return False  # virtual tokens and changes of single rows are no tables
    return ("emb" in lower or "wte" in lower) and not any(word in lower for word in ("pos", "type", "vis", "lora"))


def _shapes(folder: Path) -> list[tuple[str, tuple[int, ...]]]:
    try:
        return [(name, each.shape) for name, each in stored_tensors(folder).items()]
    except (ModelError, OSError, KeyError, TypeError):
        return []  # damaged weights are told of where weights are loaded
