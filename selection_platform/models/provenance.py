"""Where a model folder's weights came from, as recorded in its manifest."""

import json
import math
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from selection_platform.job.folder import content_hash, file_hash, read_manifest
from selection_platform.job.integrity import check_files
from selection_platform.models.loading import ADAPTER_CONFIG, base_model_folder

_PACKAGES = ("accelerate", "numpy", "peft", "safetensors", "tokenizers", "torch", "transformers")


def weights_hash(folder: Path) -> str:
    """Content hash (SHA-256, hex) of the folder's safetensors files, names included."""
    return content_hash({path.name: file_hash(path) for path in folder.glob("*.safetensors")})


def recorded_weights_hash(folder: Path) -> str:
    """The weights' hash from the folder's manifest, which saves reading them; computed if the manifest has none."""
    return (read_manifest(folder) or {}).get("weights_hash") or weights_hash(folder)


def model_identity(folder: Path) -> str:
    """Hash of weights, configuration and tokenizer; for an adapter, also of its base model. Paths do not count.

    Raises:
        ChangedFile: the folder's files are not what was written.
    """
    check_files(folder)
    configs = {path.name: _settings(path) for path in folder.glob("*config.json")}
    patterns = ("tokenizer.*", "vocab.*", "merges.txt", "special_tokens_map.json")
    vocabulary = {path.name: file_hash(path) for pattern in patterns for path in folder.glob(pattern)}
    base = model_identity(base_model_folder(folder)) if ADAPTER_CONFIG in configs else None
    return content_hash([configs, vocabulary, recorded_weights_hash(folder), base])


def _settings(config_file: Path) -> dict[str, Any]:
    """The entries of a configuration, without the path that the model was once loaded from."""
    config = json.loads(config_file.read_text())
    return {key: value for key, value in config.items() if not key.endswith("name_or_path")}


def parameter_count(folder: Path) -> int:
    """Number of stored parameters, read from the headers of the safetensors files; tied weights count once."""
    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return count


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that affect the weights of a training."""
    versions: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def peak_memory_bytes() -> int:
    """Peak memory so far: of the current GPU, or without one, resident memory of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return peak if sys.platform == "darwin" else peak * 1024
