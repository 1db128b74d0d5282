"""Checks from a model's configuration and tokenizer that the platform can score and train it.

`probe` checks what shows only when a model runs. Together they answer "does it work with mine?" when a model is
fetched, and not after a night of scoring.
"""

import json
import logging
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from selection_platform.job.folder import whole_file
from selection_platform.models.files import used_weights
from selection_platform.models.head import UnsupportedModel
from selection_platform.models.loading import (
    ADAPTER_CONFIG,
    UnreadableModel,
    base_model_folder,
    load_tokenizer,
    read_config,
)
from selection_platform.models.provenance import parameter_count

logger = logging.getLogger(__name__)

_CAUSAL_NAMES = ("CausalLM", "LMHead")
_PACKED = (".qweight", ".weight_packed", ".absmax", ".weight_scale_inv")
"""How the tensors of GPTQ, AWQ, compressed-tensors, bitsandbytes and fp8 are called."""
_OBJECTS = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json",
)  # fmt: skip
_FIRST_BEHIND_PADDING = {
    "camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
"""Kinds whose first position is the one after the padding token's id."""
_SAMPLING = {"dropout": "BPE dropout", "alpha": "sampling of a Unigram"}
"""Settings of a tokenizer's model that make it split the same text differently each time."""


def check_description(folder: Path) -> None:
    """Check a model's configuration and tokenizer; its weights need not be there.

    Raises:
        UnsupportedModel: it is of a kind that cannot be scored or trained; the message says what to use instead.
        UnreadableModel: configuration or tokenizer cannot be read.
    """
    for name in _OBJECTS:
        _check_object(folder / name)
    # First: what has no tokenizer of its own is most often of such a kind.
    config = read_config(folder)
    for found in (_quantised(config), _not_causal(config)):
        if found:
            raise UnsupportedModel(f"{folder}: {found}")
    _check_heads(folder, config)
    _check_vocabulary(folder, config)


def _check_object(path: Path) -> None:
    """Raise UnreadableModel unless a JSON file, where there is one, has names and values."""
    try:
        whole = not path.is_file() or isinstance(json.loads(path.read_bytes()), dict)
    except (ValueError, RecursionError) as error:
        raise UnreadableModel(f"{path}: is not JSON ({error}); fetch the model again") from error
    if not whole:
        raise UnreadableModel(f"{path}: has no names and values; fetch the model again")


def _check_heads(folder: Path, config: PreTrainedConfig) -> None:
    """Raise UnreadableModel where the heads that share keys and values cannot be shared out."""
    heads, shared = (getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads"))
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise UnreadableModel(
            f"{folder / 'config.json'}: num_attention_heads {heads} is not a multiple of num_key_value_heads {shared}; "
            "fetch the model again, or name another"
        )


def _quantised(config: PreTrainedConfig) -> str | None:
    settings = getattr(config, "quantization_config", None) or getattr(config, "quantization", None)
    if not settings:
        return None
    settings = settings if isinstance(settings, dict) else settings.to_dict()
    bits = next((f"{settings[key]} bits" for key in ("bits", "num_bits", "w_bit") if key in settings), None)
    kind = (
        ", ".join(str(part) for part in (settings.get("quant_method"), bits) if part) or "quantization in config.json"
    )
    return (
        f"its weights are quantised ({kind}), and such weights cannot be fine-tuned; name the original model, with "
        "weights in bfloat16, float16 or float32"
    )


def _not_causal(config: PreTrainedConfig) -> str | None:
    kind = config.model_type
    if config.is_encoder_decoder:
        return f"{kind} is an encoder-decoder; name a causal language model, which is only a decoder"
    if config.get_text_config() is not config:
        return f"{kind} reads more than text; name a text-only model, such as its language model saved separately"
    names = config.architectures or []
    if names and not any(part in name for name in names for part in _CAUSAL_NAMES):
        return (
            f"config.json says {names[0]}, which has no language-model head; name a causal language model (their names "
            "end in ForCausalLM)"
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return f"transformers has no causal language model of kind {kind}; name a model of another architecture"
    return None


def _check_vocabulary(folder: Path, config: PreTrainedConfig) -> None:
    """Raise UnsupportedModel if the model has no embedding for one of the tokenizer's tokens."""
    rows = getattr(config, "vocab_size", None)
    ids = load_tokenizer(folder).get_vocab()
    beyond = sorted((number, token) for token, number in ids.items() if rows is not None and number >= rows)
    if beyond:
        number, token = beyond[0]
        raise UnsupportedModel(
            f"{folder}: {len(beyond)} of the tokenizer's tokens have no embedding, {token!r} with id {number} the "
            f"first: the embedding has {rows} rows; remove them from the tokenizer's files, or enlarge the embedding "
            "(`resize_token_embeddings` of transformers)"
        )


def skeleton(folder: Path) -> PreTrainedModel:
    """The model that a folder's configuration describes, without weights; of an adapter, its base model.

    Raises:
        UnreadableModel: the configuration cannot be read.
    """
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(weights_config(folder), trust_remote_code=False)


def weights_config(folder: Path) -> PreTrainedConfig:
    """The configuration of the model in a folder; of an adapter, that of its base model.

    Raises:
        UnreadableModel: it cannot be read.
    """
    while (folder / ADAPTER_CONFIG).exists():
        folder = base_model_folder(folder)
    return read_config(folder)


def unused_weights(folder: Path) -> int:
    """How many stored numbers the model in config.json does not use, apart from a second copy of its head.

    transformers silently ignores weights that it does not know: heads for other tasks, or half of the layers if the
    configuration has half as many. This function warns about them.

    Raises:
        UnreadableModel: there are fewer numbers than the model needs.
    """
    model = skeleton(folder)
    stored, needed = parameter_count(folder), sum(weight.numel() for weight in model.parameters())
    if stored < needed:
        raise UnreadableModel(
            f"{folder}: the weights are {stored:,} numbers, and config.json describes a model of {needed:,}; fetch the "
            "model again, or name another"
        )
    # Each tensor once, even if two names are tied, including untrained ones such as a router's biases.
    places = {id(tensor): tensor.numel() for tensor in model.state_dict(keep_vars=True).values()}
    unused = max(0, stored - sum(places.values()))
    head, embedding = (cast(Any, part) for part in (model.get_output_embeddings(), model.get_input_embeddings()))
    if head is not None and head.weight is embedding.weight and unused >= head.weight.numel():
        unused -= head.weight.numel()
    if unused:
        logger.warning(
            "%s: %s of %s stored numbers have no place in the model that config.json describes, and are not used",
            folder.name, f"{unused:,}", f"{stored:,}",
        )  # fmt: skip
    return unused


def check_numbers(folder: Path) -> None:
    """Check that no weight is NaN or infinite, and that none is packed.

    Takes a fraction of the time that hashing the files does.

    Raises:
        UnreadableModel: one is; the message names the first tensor.
        UnsupportedModel: weights are packed, and config.json does not say so.
    """
    for path in used_weights(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                if name.endswith(_PACKED):
                    raise UnsupportedModel(
                        f"{path}: {name} belongs to quantised weights, which cannot be fine-tuned; name the original "
                        "model, with weights in bfloat16, float16 or float32"
                    )
                if not _is_finite(file.get_tensor(name)):
                    raise UnreadableModel(f"{path}: {name} has NaN or infinity; fetch the model again, or name another")


def _is_finite(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    # NaN goes through to both ends. Several times as fast as isfinite().all(), which writes a tensor of its own.
    ends = torch.aminmax(tensor if tensor.element_size() > 1 else tensor.float())
    return bool(ends.min.isfinite() and ends.max.isfinite())


def turn_off_sampling(folder: Path) -> dict[str, float]:
    """Turn off random splitting (BPE dropout) in a tokenizer, so that a text always has the same tokens.

    Such settings are for training a model; scores and answers must not be random.

    Returns:
        The settings that were turned off, by name.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    model = content.get("model") or {}
    off = {name: model[name] for name in _SAMPLING if model.get(name)}
    if off:
        content["model"] = model | dict.fromkeys(off)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        settings = ", ".join(f"{_SAMPLING[name]} ({name} {value})" for name, value in off.items())
        logger.warning("%s: %s is turned off, so that a text always has the same tokens", folder.name, settings)
    return off


def positions(config: PreTrainedConfig) -> int | None:
    """The longest sequence that a model takes, in tokens; None if its configuration does not say.

    LongRoPE (Phi-3) has two sets of frequencies. It uses the second for a whole batch if one row is longer than the
    original context, so a row's numbers would depend on its neighbours. So the original context is the limit.

    RoBERTa and its like count from behind the padding token's id, so they take fewer than their configuration says.
    """
    text = config.get_text_config()
    limits = [kind.get("original_max_position_embeddings") for kind in longrope(config)]
    stated = getattr(text, "max_position_embeddings", None)
    if stated and text.model_type in _FIRST_BEHIND_PADDING:
        stated -= (text.pad_token_id or 0) + 1
    known = [limit for limit in (stated, *limits) if limit]
    return min(known, default=None)


def longrope(config: PreTrainedConfig) -> list[dict[str, Any]]:
    """The settings of LongRoPE in a model's configuration; none if its positions are of another kind."""
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    return [kind for kind in kinds if kind.get("rope_type") == "longrope"]
