"""The sizes of a model that decide its arithmetic and memory, from its config.json alone.

Dense decoders of the Llama family are counted by a formula, without importing torch. All others, and sentence encoders,
are built by transformers without weights, which takes seconds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection_platform.configuration.settings import ATTENTION_PROJECTIONS, LoraSettings, PretrainingSettings
from selection_platform.errors import PlatformError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILY = ("llama", "mistral", "qwen2", "qwen3")
"""Kinds of model with RMSNorm, four attention projections and a gated feed-forward block."""


@dataclass(frozen=True)
class Layer:
    """One linear layer, as often as it occurs: `inputs` x `outputs` weights each."""

    inputs: int
    outputs: int
    count: int


@dataclass(frozen=True)
class Shape:
    """The sizes of a causal language model, or of a sentence encoder.

    Attributes:
        layers: blocks of the decoder.
        hidden: width of the residual stream.
        attention: width of all query heads together.
        keys: width of all key heads together; of the values too.
        intermediate: width inside a feed-forward block.
        vocabulary: rows of the head.
        parameters: distinct numbers; a tied head counts once.
        passed: weights of the decoder's matrices that a token passes through.
        linear: linear layers by their names, or by the ends of these.
        auto: those that get a LoRA adapter with `target_modules: auto`, as in `linear` or by the ends of these.
    """

    layers: int
    hidden: int
    attention: int
    keys: int
    intermediate: int
    vocabulary: int
    parameters: int
    passed: float
    linear: Mapping[str, Layer]
    auto: Sequence[str] = ATTENTION_PROJECTIONS

    @property
    def head(self) -> int:
        """Weights of the output head."""
        return self.hidden * self.vocabulary

    def adapter(self, lora: LoraSettings) -> int:
        """Numbers in a LoRA adapter. A target that is no layer of the model adds none; training it says so."""
        targets = self.auto if lora.target_modules == "auto" else lora.target_modules
        ends = tuple(f".{target}" for target in targets)
        found = (layer for name, layer in self.linear.items() if f".{name}".endswith(ends))
        return sum(lora.rank * (layer.inputs + layer.outputs) * layer.count for layer in found)

    def trained(self, lora: LoraSettings | None) -> int:
        """Numbers that a fine-tuning changes: all of them without an adapter."""
        return self.parameters if lora is None else self.adapter(lora)


def read_shape(folder: Path, *, quick: bool = False) -> Shape | None:
    """The shape of the model in a folder that has its config.json.

    Args:
        folder: of the model.
        quick: whether to give None for a model that only transformers can build, and for one that cannot be read.

    Raises:
        PlatformError: the configuration cannot be read.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("model_type") in FAMILY:
            return shape_of(config)
        if quick:
            return None
        from selection_platform.models.supported import skeleton

        return _of_model(skeleton(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if quick:
            # The step that fetches the model says what is wrong.
            return None
        raise PlatformError(f"{path}: the model's sizes cannot be read ({error}); fetch the model again") from error


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape of a model of the `FAMILY`, by the entries of its config.json."""
    kind, hidden, layers = config["model_type"], config["hidden_size"], config["num_hidden_layers"]
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    attention, keys = heads * head, (config.get("num_key_value_heads") or heads) * head
    intermediate, vocabulary = config["intermediate_size"], config["vocab_size"]
    linear = {
        "self_attn.q_proj": Layer(hidden, attention, layers),
        "self_attn.k_proj": Layer(hidden, keys, layers),
        "self_attn.v_proj": Layer(hidden, keys, layers),
        "self_attn.o_proj": Layer(attention, hidden, layers),
        "mlp.gate_proj": Layer(hidden, intermediate, layers),
        "mlp.up_proj": Layer(hidden, intermediate, layers),
        "mlp.down_proj": Layer(intermediate, hidden, layers),
    }
    passed = sum(layer.inputs * layer.outputs * layer.count for layer in linear.values())
    biased = {"q_proj", "k_proj", "v_proj"} if kind == "qwen2" or config.get("attention_bias") else set()
    if kind != "qwen2" and config.get("attention_bias"):
        biased |= {"o_proj"}
    if config.get("mlp_bias"):
        biased |= {"gate_proj", "up_proj", "down_proj"}
    biases = sum(layer.outputs * layers for name, layer in linear.items() if name.split(".")[-1] in biased)
    norms = hidden * (2 * layers + 1) + (2 * head * layers if kind == "qwen3" else 0)
    tied = config.get("tie_word_embeddings", False)
    return Shape(
        layers, hidden, attention, keys, intermediate, vocabulary,
        parameters=passed + biases + norms + vocabulary * hidden * (1 if tied else 2),
        passed=passed,
        linear=linear,
    )  # fmt: skip


def shape_of_pretrained(settings: PretrainingSettings) -> Shape:
    """The shape of a model that the platform pre-trains: a Llama whose input and output embeddings are one."""
    return shape_of(
        {
            "model_type": "llama",
            "hidden_size": settings.hidden_size,
            "intermediate_size": settings.intermediate_size,
            "num_hidden_layers": settings.layers,
            "num_attention_heads": settings.heads,
            "vocab_size": settings.vocab_size,
            "tie_word_embeddings": True,
        }
    )


def read_encoder_shape(folder: Path) -> Shape:
    """The shape of the sentence encoder in a folder that has its config.json.

    Raises:
        PlatformError: the configuration cannot be read.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            return _of_model(AutoModel.from_config(config, trust_remote_code=False))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlatformError(
            f"{folder / 'config.json'}: sizes cannot be read ({error}); name another encoder"
        ) from error


def _of_model(model: "PreTrainedModel") -> Shape:
    """The shape of any model of transformers, as `job.compute` counts it."""
    from transformers.pytorch_utils import Conv1D

    from selection_platform.job.compute import matrix_weights
    from selection_platform.models.lora_targets import auto_targets, linear_layers

    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 0
    width = getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1)
    decoder = model.get_decoder()
    linear: dict[str, Layer] = {}
    for name, module in linear_layers(model).items():
        across, along = module.weight.shape if isinstance(module, Conv1D) else module.weight.shape[::-1]
        linear[name] = Layer(across, along, 1)
    passed, _ = matrix_weights(decoder, getattr(config, "num_experts_per_tok", None))
    return Shape(
        config.num_hidden_layers,
        config.hidden_size,
        heads * width,
        (getattr(config, "num_key_value_heads", None) or heads) * width,
        getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        config.vocab_size,
        parameters=sum(weight.numel() for weight in model.parameters()),
        passed=passed,
        linear=linear,
        auto=auto_targets(model),
    )
