"""Pre-trains a small base model from scratch, if none can be downloaded.

It trains on conversations in the paper's text, including prompts, so that fine-tuning starts from a model that knows
the language and the format. Its benchmarks are at chance, but its held-out loss distinguishes training sets.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer as Bpe
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, set_seed

from selection_platform.configuration.base import SPEED
from selection_platform.configuration.settings import PretrainingSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.errors import PlatformError
from selection_platform.job.compute import count_compute
from selection_platform.job.folder import content_hash, open_job_folder, read_manifest, write_manifest
from selection_platform.job.registry import Job
from selection_platform.job.spec import FilePath, Spec
from selection_platform.job.versions import VERSIONS
from selection_platform.models.provenance import package_versions, parameter_count, weights_hash
from selection_platform.models.renderers import load_renderer
from selection_platform.text.conversation import Message, to_messages
from selection_platform.text.renderer import Renderer
from selection_platform.text.rendering import pieces, template_hash
from selection_platform.training.batches import Row
from selection_platform.training.checkpoints import CHECKPOINTS, remove_checkpoints
from selection_platform.training.loop import (
    Precision,
    train,
    training_arguments,
)

END = "<|endoftext|>"
"""Ends every answer; also the padding token."""

_TOKENIZER_CHARACTERS = 4_000_000


class PretrainingSpec(Spec):
    """A small Llama and how long to train it.

    Attributes:
        train_file: Parquet file with columns sample_id, messages; small enough to fit in memory.
        pretraining: the model and its training. Conversations are packed into blocks without gaps, and the file is
            repeated as often as the steps need. The learning rate rises over 5% of the steps, then falls to 0 as a
            cosine.
        save_steps: optimiser steps between checkpoints to resume from.
        precision: the number type of products.
    """

    train_file: FilePath
    pretraining: PretrainingSettings
    precision: Precision
    save_steps: Annotated[int, SPEED] = 200


def pretrain(spec: PretrainingSpec, folder: Path) -> dict[str, Any]:
    """Train tokenizer and model into `folder`; a killed run continues from its last checkpoint.

    Returns:
        The manifest: spec, parameters, tokens seen, steps, final loss (nats per token), seconds, hashes, versions.
    """
    if open_job_folder(folder, _identity(spec)):
        remove_checkpoints(folder)
        return _result(folder)
    settings = spec.pretraining
    conversations = [to_messages(records) for records in _rows(spec)["messages"].to_pylist()]
    train_tokenizer(conversations, settings.vocab_size, settings.context).save_pretrained(folder)
    renderer = load_renderer(folder, PAPER)
    arguments = training_arguments(
        folder,
        global_batch=settings.batch,
        batch_per_device=settings.batch,
        seed=settings.seed,
        save_steps=spec.save_steps,
        precision=spec.precision,
        max_steps=settings.steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.1,
        adam_beta2=0.95,
    )
    rows = _blocks(conversations, renderer, spec)
    outcome = train(_new_model(settings, renderer.ends[0]), rows, arguments, label="Pre-training")
    manifest = {
        **asdict(outcome),
        "source": "pretrained",
        "spec": spec.model_dump(mode="json"),
        "parameters": parameter_count(folder),
        "tokens_seen": settings.steps * settings.batch * settings.block_length,
        "tokens_distinct": len(rows) * settings.block_length,
        "template_hash": template_hash(),
        "versions": package_versions(),
        "weights_hash": weights_hash(folder),
    }
    write_manifest(folder, manifest, temporary=[CHECKPOINTS])
    remove_checkpoints(folder)
    return manifest


def _result(folder: Path) -> dict[str, Any]:
    return read_manifest(folder) or {}


def _rows(spec: PretrainingSpec) -> pa.Table:
    """The conversations, by id."""
    return pq.read_table(spec.train_file, columns=["sample_id", "messages"]).sort_by("sample_id")


def train_tokenizer(conversations: list[list[Message]], vocab_size: int, context: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: any text can be encoded, and decodes to itself.

    Args:
        conversations: what to learn merges from; the first four million characters are used.
        vocab_size: number of tokens, including the 256 bytes and the end-of-sequence token.
        context: `model_max_length` of the tokenizer, in tokens.
    """
    bpe = Bpe(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(conversations), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=END,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def _texts(conversations: list[list[Message]]) -> Iterator[str]:
    """Rendered conversations, up to the number of characters that the tokenizer learns from."""
    characters = 0
    for messages in conversations:
        text = "".join(piece.text for piece in pieces(messages))
        yield text
        characters += len(text)
        if characters >= _TOKENIZER_CHARACTERS:
            return


def _blocks(conversations: list[list[Message]], renderer: Renderer, spec: PretrainingSpec) -> list[Row]:
    """Conversations one after another, split into blocks, as many as the training needs or the file has.

    Raises:
        PlatformError: the file has fewer tokens than one block.
    """
    settings = spec.pretraining
    wanted = settings.steps * settings.batch * settings.block_length
    ids: list[int] = []
    for messages in conversations:
        ids += renderer.tokenize(messages).ids
        if len(ids) >= wanted:
            break
    count = min(len(ids), wanted) // settings.block_length
    if count == 0:
        raise PlatformError(
            f"{spec.train_file}: {len(ids)} tokens, fewer than one block of {settings.block_length}; let a pool set "
            "more rows aside, such as `base_model: 0.4` below its name"
        )
    blocks: NDArray[np.int32] = np.array(ids[: count * settings.block_length], dtype=np.int32)
    is_target = np.ones(settings.block_length, dtype=np.bool_)
    return [Row(block, is_target) for block in blocks.reshape(count, settings.block_length)]


def _new_model(settings: PretrainingSettings, eos_token_id: int) -> PreTrainedModel:
    """A Llama with random weights in float32; input and output embeddings are shared."""
    set_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos_token_id,
        pad_token_id=eos_token_id,
    )
    model = LlamaForCausalLM(config)
    count_compute(model)
    return model.to(torch.float32)  # pyright: ignore[reportArgumentType]


def _identity(spec: PretrainingSpec) -> dict[str, Any]:
    """What decides the trained weights; the sample ids are content hashes, so they cover the text."""
    return {
        "recipe": spec.content(),
        "conversations": content_hash(_rows(spec)["sample_id"].to_pylist()),
        "template": template_hash(),
        "code_version": VERSIONS["pretraining"],
    }


PRETRAINING = Job("pretraining", pretrain, PretrainingSpec, _identity, _result)
