"""Rows that lie end to end against each row alone, in double precision, for each family of models."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, MambaConfig, PreTrainedConfig

from selection_platform.models import packed_attention as module
from selection_platform.models.packed_attention import packed_attention, why_not_packed
from selection_platform.training.batches import Row, collate, pack
from selection_platform.training.loss import loss_in_parts
from tests.architectures import ARCHITECTURES, COMMON, WINDOW

PACKED = sorted(ARCHITECTURES.keys() - {"gemma-2"})
PRECISION = {"cohere": 1e-5, "gemma-3": 1e-5}
"""Of gradients, of models whose norms compute in float32."""
LENGTHS = {"different": (3, 20, 1, 9), "equal": (9, 9, 9)}
"""Longer and shorter than a sliding window."""


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    # The kernel of experts has no double precision.
    experts = {"experts_implementation": "eager"} if hasattr(config, "num_local_experts") else {}
    return AutoModelForCausalLM.from_config(config, **experts).double()


def rows_of(lengths: tuple[int, ...]) -> list[Row]:
    """Rows with some targets, their first tokens among them."""
    generator = np.random.default_rng(1)
    return [Row(generator.integers(1, 300, length, np.int32), generator.random(length) < 0.7) for length in lengths]


def loss_and_gradients(model: Any, batches: list[dict[str, Any]]) -> tuple[float, dict[str, torch.Tensor]]:
    """Of all batches together."""
    model.zero_grad()
    total = 0.0
    with loss_in_parts(model):
        for batch in batches:
            loss = model(**batch, num_items_in_batch=7)["loss"]
            loss.backward()
            total += loss.item()
    return total, {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", PACKED)
def test_loss_and_gradients_are_those_of_each_row_alone(name: str, lengths: str, checkpointing: bool):
    model = built(ARCHITECTURES[name]).train()
    rows = rows_of(LENGTHS[lengths])
    loss, gradients = loss_and_gradients(model, [collate([row]) for row in rows])
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with packed_attention(model):
        found, together = loss_and_gradients(model, [pack(rows)])
    assert found == pytest.approx(loss, rel=PRECISION.get(name, 1e-9))
    for parameter, gradient in gradients.items():
        tolerance = PRECISION.get(name, 1e-9) * float(gradient.abs().max()) + 1e-12
        torch.testing.assert_close(together[parameter], gradient, rtol=0, atol=tolerance)
    # Its own attention is back.
    assert model.config._attn_implementation in ("sdpa", "eager")


@pytest.mark.parametrize("name", ["llama-3", "gpt-2", "mixtral"])
def test_rows_of_most_families_are_packed(name: str):
    model = built(ARCHITECTURES[name]).train()
    assert why_not_packed(model) is None
    assert model.training


def windowed(kind: str, **changes: Any) -> Any:
    return AutoConfig.for_model(kind, **COMMON, layer_types=["sliding_attention", "full_attention"], **changes)


REFUSED = {
    "capped": (ARCHITECTURES["gemma-2"], "its attention has softcap"),
    "sinks": (windowed("gpt_oss", head_dim=8, num_local_experts=4, num_experts_per_tok=2), "its attention has s_aux"),
    "ALiBi": (AutoConfig.for_model("bloom", vocab_size=300, hidden_size=32, n_layer=2, n_head=4), "code of its own"),
    "does not pass on what it does not know": (AutoConfig.for_model("stablelm", **COMMON), "where rows end"),
    "recurrent": (MambaConfig(vocab_size=300, hidden_size=32, num_hidden_layers=2), "look beyond the row"),
    "convolution": (
        AutoConfig.for_model("lfm2", **COMMON, layer_types=["conv", "full_attention"]), "look beyond the row",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_models_with_another_attention_are_found(name: str):
    config, reason = REFUSED[name]
    model = built(config)
    before = model.config._attn_implementation
    assert reason in (why_not_packed(model) or "")
    assert model.config._attn_implementation == before


def test_a_model_that_ignores_positions_is_found(monkeypatch: pytest.MonkeyPatch):
    model = built(ARCHITECTURES["gpt-2"])
    monkeypatch.setattr(module, "places", lambda lengths: torch.arange(sum(lengths))[None])
    assert why_not_packed(model) == "its hidden states are not those of each row alone"


def test_a_model_whose_attention_is_not_replaced_is_found(monkeypatch: pytest.MonkeyPatch):
    model = built(ARCHITECTURES["llama-3"])
    monkeypatch.setattr(type(model), "set_attn_implementation", lambda *_: None)
    assert why_not_packed(model) == "its layers look beyond the row"


@pytest.mark.parametrize("size", [None, WINDOW])
def test_only_a_window_that_the_layer_confirms_is_one(size: int | None):
    states = torch.randn(1, 2, 20, 4)
    with pytest.raises(NotImplementedError, match="neither over the whole row nor over a sliding window"):
        module._attend(torch.nn.Module(), states, states, states, 7, packed=[20], sliding_window=size)


def test_a_mask_that_is_more_than_causal_is_refused():
    assert (module._mask(q_length=3), module._mask(local_size=4)) == (None, 4)
    for more in ({"use_vmap": True}, {"allow_is_bidirectional_skip": True}):
        with pytest.raises(NotImplementedError, match="not just causal"):
            module._mask(**more)


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_places_that_depend_on_the_longest_row_are_refused(kind: str):
    one = {"rope_type": kind}
    for given in (one, {"full_attention": {"rope_type": "default"}, "sliding_attention": one}):
        config = LlamaConfig()
        config.rope_parameters = given
        model = cast(Any, SimpleNamespace(config=config))
        assert why_not_packed(model) == "how it sees places depends on the longest row beside"
