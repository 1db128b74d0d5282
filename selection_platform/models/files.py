"""The files that a model consists of. Importable without torch: whoever decides what is due looks at them."""

from pathlib import Path

DESCRIPTION_FILES = ("*.json", "*.model", "*.txt", "*.jinja")
"""Configuration, the tokenizers' vocabularies and their chat templates."""

MODEL_FILES = ("*.safetensors", *DESCRIPTION_FILES)
"""These and the weights; no pickles and no code."""


def model_files(folder: Path) -> dict[str, Path]:
    """The files of the model in a folder, by name; none where there is no such folder."""
    return {path.name: path for pattern in MODEL_FILES for path in sorted(folder.glob(pattern)) if path.is_file()}
