"""The files of a model. This module imports no torch, because `status` uses it."""

import json
from pathlib import Path
from typing import Any

from selection_platform.job.folder import FILES

DESCRIPTION_FILES = ("*.json", "*.model", "*.txt", "*.jinja")
"""Configuration, the tokenizers' vocabularies and their chat templates."""

MODEL_FILES = ("*.safetensors", *DESCRIPTION_FILES)
"""These files and the weights; no pickles and no code."""

SECOND_COPIES = ("consolidated*.safetensors",)
"""The same weights under the publisher's own names, besides those that transformers reads (Mistral)."""

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
MODULES = "modules.json"
"""The parts of a sentence encoder, such as its pooling, and the folder of each."""

TRAINED_ELSEWHERE = "trained_elsewhere"
"""Entry of a checkpoint's manifest, and of its record: where it came from. Checkpoints trained here do not have it."""
CHECKPOINT_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json")
"""The weights and configuration of a checkpoint that was trained elsewhere, without its trainer's other files."""


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """The weights and configuration in a folder, by name; empty if there is no such folder."""
    return {path.name: path for pattern in CHECKPOINT_FILES for path in sorted(folder.glob(pattern)) if path.is_file()}


def model_files(folder: Path) -> dict[str, Path]:
    """The files of the model in a folder, by name; empty if there is no such folder."""
    described = (path for pattern in DESCRIPTION_FILES for path in sorted(folder.glob(pattern)))
    # In a folder of ours, that record is of more than the model.
    return {path.name: path for path in (*used_weights(folder), *described) if path.is_file() and path.name != FILES}


def encoder_files(folder: Path) -> dict[str, Path]:
    """The files of the sentence encoder in a folder, by their paths there: the model's, and its parts' settings."""
    try:
        parts = json.loads((folder / MODULES).read_text(encoding="utf-8"))
        names = [f"{part['path']}/config.json" for part in parts if part["path"]]
    except (OSError, ValueError, KeyError, TypeError):
        # What is wrong with it is said when the encoder is read.
        names = []
    return {**model_files(folder), **{name: folder / name for name in names if (folder / name).is_file()}}


def used_weights(folder: Path) -> list[Path]:
    """The safetensors files of a folder that transformers reads; all of them if that is unclear."""
    there = sorted(folder.glob("*.safetensors"))
    if any(path.name == WEIGHTS for path in there):
        return [folder / WEIGHTS]
    index = folder / WEIGHTS_INDEX
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.is_file() else set()
    except (ValueError, KeyError, TypeError, AttributeError):
        # Reading the model reports what is wrong with the index.
        named = set()
    return [path for path in there if path.name in named] or there


def stated_positions(folder: Path) -> int | None:
    """The longest sequence that the configuration in a folder states, in tokens; None where it states none.

    A quick look without transformers; `supported.positions` knows kinds of models that take less.
    """
    text = _configuration(folder)
    stated = text.get("max_position_embeddings") or text.get("n_positions")
    return stated if isinstance(stated, int) else None


def states_longrope(folder: Path) -> bool:
    """Whether the configuration in a folder states positions of the kind LongRoPE.

    A quick look without transformers; `supported.longrope` knows the settings.
    """
    text = _configuration(folder)
    # transformers 4 wrote rope_scaling, and the first Phi-3 called the kind "su".
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(rope, dict):
        return False
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    return any((kind.get("rope_type") or kind.get("type")) in ("longrope", "su") for kind in kinds)


def _configuration(folder: Path) -> dict[str, Any]:
    """What the configuration in a folder says of the model that reads text; empty where it cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return dict(config.get("text_config") or config)
    except (OSError, ValueError, TypeError, AttributeError):
        # What is wrong with it is said when the model is read.
        return {}
