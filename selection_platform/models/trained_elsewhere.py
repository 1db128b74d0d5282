"""Imports a checkpoint from another trainer as if it had been trained here.

Its weights are copied, but not its tokenizer: like every other checkpoint, it is evaluated with the tokenizer and chat
template of its base model, so that all arms see the same text.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel

from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import NotFinite
from selection_platform.job.folder import content_hash, file_hash, open_job_folder, read_manifest, write_manifest
from selection_platform.job.lock import alone_in_folder
from selection_platform.models.base_model import link_or_copy
from selection_platform.models.files import TRAINED_ELSEWHERE, checkpoint_files
from selection_platform.models.loading import (
    ADAPTER_CONFIG,
    ENDS_KEY,
    UnreadableModel,
    base_entry,
    check_weights,
    load_model,
    save_tokenizer,
)
from selection_platform.models.provenance import (
    model_identity,
    package_versions,
    parameter_count,
    recorded_weights_hash,
)
from selection_platform.models.renderers import load_renderer, text_identity

SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")
"""Settings that a checkpoint's configuration must share with its base model's."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PROBE_TOKENS = 8
_DTYPE = "bfloat16"
"""Number type of the check only: half the memory of float32."""


@alone_in_folder
def register(source: Path, origin: Mapping[str, str], base: Path, text: TextSettings, folder: Path) -> dict[str, Any]:
    """Copy a checkpoint from where it was trained, and check that it is one of its base model.

    Args:
        source: folder with full weights, or with a LoRA adapter, which is merged whenever it is loaded.
        origin: where it came from: `name` of a folder, or `model_id` and `commit`.
        base: folder of the base model.
        text: how its conversations are rendered.
        folder: where it goes. A complete one of the same content is left alone.

    Returns:
        The folder's manifest.

    Raises:
        UnreadableModel: there are no safetensors weights, or they do not fit a model trained from the base model.
        NotFinite: the model gives NaN or infinity.
    """
    check_weights(source)
    files = checkpoint_files(source)
    hashes = {name: file_hash(path) for name, path in files.items()}
    weights = content_hash({name: value for name, value in hashes.items() if name.endswith(".safetensors")})
    identity = {TRAINED_ELSEWHERE: hashes, "base_model": model_identity(base), "template": text_identity(base, text)}
    if not open_job_folder(folder, identity):
        _check_fits(source, base, weights)
        # Files in a folder may change later, so they are copied; those in the hub's cache never change.
        take = link_or_copy if "model_id" in origin else shutil.copyfile
        for name, path in files.items():
            take(path.resolve(), folder / name)
        renderer = load_renderer(base, text)
        save_tokenizer(base, folder, renderer.chat_template)
        _check_answers(_loaded(folder, base, source), source)
        adapter = base_entry(folder, base) if ADAPTER_CONFIG in files else {}
        where = f"{origin['model_id']} at {origin['commit']}" if "model_id" in origin else f"folder {origin['name']}"
        counted = {"parameters": parameter_count(folder), "weights_hash": weights, ENDS_KEY: renderer.generation_end()}
        manifest = {**adapter, **origin, TRAINED_ELSEWHERE: where, **counted, "versions": package_versions()}
        write_manifest(folder, manifest)
    return read_manifest(folder) or {}


def _check_fits(source: Path, base: Path, weights: str) -> None:
    if weights == recorded_weights_hash(base):
        raise UnreadableModel(
            f"{source}: has the weights of the base model itself, so nothing was trained; name another"
        )
    if (source / ADAPTER_CONFIG).exists():
        kind = json.loads((source / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("peft_type")
        if kind != "LORA":
            raise UnreadableModel(f"{source}: is an adapter of kind {kind}; only LoRA can be merged into a base model")
    else:
        _check_shape(source, base)
    if (source / "tokenizer.json").exists():
        _check_vocabulary(source, base)


def _check_shape(source: Path, base: Path) -> None:
    own, of_base = (
        AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).get_text_config()
        for folder in (source, base)
    )
    for name in SHAPE:
        value, expected = getattr(own, name, None), getattr(of_base, name, None)
        if value != expected:
            raise UnreadableModel(
                f"{source / 'config.json'}: {name} is {value}, and {expected} in the experiment's base model; name a "
                "checkpoint that was trained from it, without tokens added to its vocabulary"
            )


def _check_vocabulary(source: Path, base: Path) -> None:
    folders = source, base
    own, of_base = (AutoTokenizer.from_pretrained(folder, local_files_only=True).get_vocab() for folder in folders)
    other = min((token for token, number in of_base.items() if own.get(token) != number), default=None)
    if other is not None:
        raise UnreadableModel(
            f"{source / 'tokenizer.json'}: token {other!r} has another id than in the experiment's base model; name a "
            "checkpoint that was trained from it"
        )


def _loaded(folder: Path, base: Path, source: Path) -> PreTrainedModel:
    """The model of a folder that has no manifest yet. An adapter is added to the base model without merging.

    Raises:
        UnreadableModel: weights are missing or do not fit; the message names the source.
    """
    if not (folder / ADAPTER_CONFIG).exists():
        return load_model(folder, _DTYPE, device="cpu")[0]
    model, _ = load_model(base, _DTYPE, device="cpu")
    try:
        adapted = PeftModel.from_pretrained(model, str(folder))
    # peft and torch raise these if names or shapes of layers do not match the base model.
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _unfit(source, " ".join(str(error).split())[:300]) from error
    with safe_open(folder / ADAPTER_WEIGHTS, framework="numpy") as file:
        # peft ignores such weights with a warning.
        strange = set(file.keys()) - get_peft_model_state_dict(adapted).keys()
    if strange:
        raise _unfit(source, f"it has no layer for {min(strange)}")
    return cast(PreTrainedModel, adapted)


def _unfit(source: Path, reason: str) -> UnreadableModel:
    return UnreadableModel(
        f"{source}: the adapter does not fit the experiment's base model ({reason}); name one that was trained on it"
    )


@torch.inference_mode()
def _check_answers(model: PreTrainedModel, source: Path) -> None:
    logits = cast(Any, model)(input_ids=torch.arange(1, _PROBE_TOKENS + 1)[None]).logits
    if not bool(torch.isfinite(logits).all()):
        raise NotFinite(f"{source}: the model gives NaN or infinity; its training diverged, or its weights are broken")
