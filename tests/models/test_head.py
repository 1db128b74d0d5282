"""Logits of models in half precision, against the same weights and hidden states in float32."""

from copy import deepcopy
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig, PhiConfig

from selection_platform.evaluation.engine import Continuation, TransformersEngine
from selection_platform.methods.less.sample_gradients import SampleGradients
from selection_platform.methods.selectit.rating_probability import next_token_log_probabilities
from selection_platform.models import head
from selection_platform.models.forward_pass import forward
from selection_platform.models.head import float32_logits, logits_of
from tests.tiny import CONFIGS, SIZES

HEADS = {
    "matrix": CONFIGS["llama"],
    "tied": CONFIGS["gpt2"],
    "biased": PhiConfig(**SIZES),
    "capped": Gemma2Config(**SIZES, final_logit_softcapping=0.5, head_dim=8),
    "multiplied": CohereConfig(**SIZES, logit_scale=0.25, pad_token_id=0),
    "divided": GraniteConfig(**SIZES, logits_scaling=3.0),
}


def model_of(name, dtype):
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(HEADS[name]).eval().requires_grad_(False)
    if (bias := model.get_output_embeddings().bias) is not None:
        bias.normal_()
    return model.to(dtype)


def hidden_of(model):
    hidden = torch.randn(5, model.get_output_embeddings().in_features, generator=torch.Generator().manual_seed(2))
    return hidden.to(model.dtype)


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_has_the_logits_of_float32(name, monkeypatch):
    # Several parts of the vocabulary.
    monkeypatch.setattr(head, "_NUMBERS_IN_FLOAT32", 32 * 70)
    model = model_of(name, torch.bfloat16)
    hidden = hidden_of(model)
    exact = logits_of(deepcopy(model).float(), hidden.float())
    rounded = logits_of(model, hidden)
    with float32_logits(model):
        found = logits_of(model, hidden)
    assert found.dtype == torch.float32
    assert torch.allclose(found, exact, rtol=1e-5, atol=1e-6)
    # Which its own code does not reach, and does again after the block.
    assert (rounded - exact).abs().max() > 1e-3 * exact.abs().max()
    assert torch.equal(logits_of(model, hidden), rounded)


def test_a_whole_pass_has_them_too_and_is_counted():
    model = model_of("matrix", torch.bfloat16)
    tokens = torch.arange(1, 9).reshape(2, 4)
    counted = []
    model.get_output_embeddings().register_forward_hook(lambda *seen: counted.append(seen[2].shape))
    with float32_logits(model):
        logits = model(tokens, logits_to_keep=3).logits
    hidden = model.get_decoder()(tokens).last_hidden_state[:, 1:]
    assert torch.allclose(logits, torch.nn.functional.linear(hidden.float(), model.lm_head.weight.float()), rtol=1e-5)
    assert counted == [(2, 3, SIZES["vocab_size"])]


@pytest.mark.parametrize("name", HEADS)
def test_float32_is_the_models_own_to_the_byte(name):
    model = model_of(name, torch.float32)
    hidden = hidden_of(model)
    own = logits_of(model, hidden)
    with float32_logits(model):
        assert torch.equal(logits_of(model, hidden), own)
        assert "forward" not in vars(model.get_output_embeddings())


@pytest.mark.parametrize("name", HEADS)
def test_gradients_are_those_of_the_plain_product(name):
    model = model_of(name, torch.bfloat16)
    hidden, single = hidden_of(model), deepcopy(model).float()
    error = torch.randn(5, SIZES["vocab_size"], generator=torch.Generator().manual_seed(3))
    wide = hidden.float().requires_grad_()
    (exact,) = torch.autograd.grad(logits_of(single, wide), wide, error)
    given = hidden.clone().requires_grad_()
    with float32_logits(model):
        (found,) = torch.autograd.grad(logits_of(model, given), given, error)
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).abs().max() <= 0.01 * exact.abs().max()


def read_by_likelihood(model):
    forward(model, [np.arange(1, 9)], 1, 4)


def read_by_rating(model):
    next_token_log_probabilities(model, [np.arange(1, 9)], np.array([3, 4]))


def read_by_influence(model):
    layers = {"q": model.get_decoder().layers[0].self_attn.q_proj}
    SampleGradients(model, layers, 4).run([np.arange(1, 9)], np.array([3]), lambda *_: None)


def read_by_loglikelihood(model):
    renderer = SimpleNamespace(tokenizer=SimpleNamespace(eos_token_id=0), ends=[0])
    list(TransformersEngine(model, cast(Any, renderer), 1).log_likelihoods([Continuation([1, 2], [3])]))


@pytest.mark.parametrize("read", [read_by_likelihood, read_by_rating, read_by_influence, read_by_loglikelihood])
def test_whoever_reads_logits_reads_them_in_float32(read):
    model = model_of("matrix", torch.bfloat16)
    seen = []
    model.get_output_embeddings().register_forward_hook(lambda *each: seen.append(each[2].dtype))
    read(model)
    assert set(seen) == {torch.float32}
