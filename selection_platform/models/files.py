"""The files that a model consists of. Importable without torch: whoever decides what is due looks at them."""

import json
from pathlib import Path

DESCRIPTION_FILES = ("*.json", "*.model", "*.txt", "*.jinja")
"""Configuration, the tokenizers' vocabularies and their chat templates."""

MODEL_FILES = ("*.safetensors", *DESCRIPTION_FILES)
"""These and the weights; no pickles and no code."""

SECOND_COPIES = ("consolidated*.safetensors",)
"""The same weights under names of the maker's own, beside those that transformers reads (Mistral)."""

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"


TRAINED_ELSEWHERE = "trained_elsewhere"
"""The entry of a checkpoint's manifest, and of its record: where it came from. Our own trainings do not have it."""
CHECKPOINT_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json")
"""Of a checkpoint that was trained elsewhere: what its weights are, without what its trainer wrote beside them."""


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """The weights and configuration in a folder, by name; none where there is no such folder."""
    return {path.name: path for pattern in CHECKPOINT_FILES for path in sorted(folder.glob(pattern)) if path.is_file()}


def model_files(folder: Path) -> dict[str, Path]:
    """The files of the model in a folder, by name; none where there is no such folder."""
    described = (path for pattern in DESCRIPTION_FILES for path in sorted(folder.glob(pattern)))
    return {path.name: path for path in (*used_weights(folder), *described) if path.is_file()}


def used_weights(folder: Path) -> list[Path]:
    """Those safetensors files of a folder that transformers reads; all of them where it would not know which."""
    there = sorted(folder.glob("*.safetensors"))
    if any(path.name == WEIGHTS for path in there):
        return [folder / WEIGHTS]
    index = folder / WEIGHTS_INDEX
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.is_file() else set()
    except (ValueError, KeyError, TypeError, AttributeError):
        # What is wrong with it is said when the model is read.
        named = set()
    return [path for path in there if path.name in named] or there


def stated_positions(folder: Path) -> int | None:
    """The longest sequence that the configuration in a folder states, in tokens; None where it states none.

    A quick look without transformers; `supported.positions` knows kinds of models that take less.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        text = config.get("text_config") or config
        stated = text.get("max_position_embeddings") or text.get("n_positions")
    except (OSError, ValueError, AttributeError):
        # What is wrong with it is said when the model is read.
        return None
    return stated if isinstance(stated, int) else None
