"""The loss in parts against the one that transformers computes from the logits of all tokens."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, MixtralConfig

from selection_platform.training import loss as module
from selection_platform.training.loss import loss_in_parts
from tests.architectures import ARCHITECTURES, COMMON
from tests.tiny import VOCAB

TARGETS = torch.tensor(7)
HIDDEN = COMMON["hidden_size"]


def batch() -> dict[str, torch.Tensor]:
    """Three rows of twenty tokens: one is padded, and one has no target."""
    ids = torch.randint(1, VOCAB, (3, 20), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[0, :5] = labels[1, 12:] = labels[2] = -100
    return {"input_ids": ids, "labels": labels, "num_items_in_batch": TARGETS}


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    # Twice, as Trainer does with two processes.
    (2 * loss).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def compare(model: Any) -> None:
    router = {"output_router_logits": False} if hasattr(model.config, "output_router_logits") else {}
    whole = model(**batch(), use_cache=False, **router).loss
    expected = gradients(model, whole)
    with loss_in_parts(model) as in_parts:
        assert in_parts
        found = model(**batch())["loss"]
    assert found.item() == pytest.approx(whole.item(), rel=1e-6)
    of_parts = gradients(model, found)
    assert of_parts.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(of_parts[name], gradient, rtol=0, atol=float(1e-5 * gradient.abs().max()))
    # Its own forward pass is back.
    assert model(**batch(), use_cache=False, **router).logits.shape == (3, 20, VOCAB)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of four positions, of which the last has fewer."""
    monkeypatch.setattr(module, "LOGITS", 4 * VOCAB)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_loss_and_gradients_are_those_of_all_logits(name: str):
    torch.manual_seed(0)
    compare(AutoModelForCausalLM.from_config(ARCHITECTURES[name]).train())


@pytest.mark.slow
def test_an_adapter_of_the_head_is_trained_too():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES["llama-3"])
    for layers in (["q_proj"], ["q_proj", "lm_head"]):
        config = LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, target_modules=layers)
        adapted = get_peft_model(model, config)
        compare(adapted)
        model = adapted.unload()


def test_a_batch_without_targets_has_no_loss_and_gradients_of_zero():
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES["qwen3"])
    nothing = batch() | {"labels": torch.full((3, 20), -100)}
    with loss_in_parts(model):
        found = model(**nothing)["loss"]
    assert found.item() == 0
    of_parts = gradients(model, found)
    assert len(of_parts) == len(list(model.parameters()))
    assert not any(gradient.any() for gradient in of_parts.values())


class Largest(TorchDispatchMode):
    """The most elements that a tensor with a dimension of the vocabulary's size had, apart from weights."""

    positions = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.shape[-1:] == (VOCAB,) and tensor.shape[0] != HIDDEN:
                self.positions = max(self.positions, tensor.shape[:-1].numel())
        return result


def test_no_tensor_is_as_large_as_tokens_times_vocabulary():
    model = AutoModelForCausalLM.from_config(ARCHITECTURES["qwen3"])
    with loss_in_parts(model), Largest() as largest:
        model(**batch())["loss"].backward()
    assert largest.positions == 4


def test_a_mixture_with_a_balancing_loss_keeps_its_own():
    model = AutoModelForCausalLM.from_config(MixtralConfig(**COMMON, num_local_experts=4, output_router_logits=True))
    with loss_in_parts(model) as in_parts:
        assert not in_parts
        assert model(**batch()).aux_loss > 0
