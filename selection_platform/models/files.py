"""The files that a model consists of. Importable without torch: whoever decides what is due looks at them."""

from pathlib import Path

DESCRIPTION_FILES = ("*.json", "*.model", "*.txt")
"""Configuration and the tokenizers' vocabularies."""

MODEL_FILES = ("*.safetensors", *DESCRIPTION_FILES)
"""These and the weights; no pickles and no code."""


TRAINED_ELSEWHERE = "trained_elsewhere"
"""The entry of a checkpoint's manifest, and of its record: where it came from, in words. Others have none."""
CHECKPOINT_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json")
"""Of a checkpoint that was trained elsewhere: what its weights are, without what its trainer wrote beside them."""


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """The weights and configuration in a folder, by name; none where there is no such folder."""
    return {path.name: path for pattern in CHECKPOINT_FILES for path in sorted(folder.glob(pattern)) if path.is_file()}


def model_files(folder: Path) -> dict[str, Path]:
    """The files of the model in a folder, by name; none where there is no such folder."""
    return {path.name: path for pattern in MODEL_FILES for path in sorted(folder.glob(pattern)) if path.is_file()}
