"""Tests of the count of arithmetic."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from selection_platform.job.compute import SPENT, Compute, count_compute

HIDDEN, INNER, LAYERS, VOCABULARY = 8, 16, 2, 32
WEIGHTS = LAYERS * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER) + HIDDEN * VOCABULARY
ROWS, LENGTH = 3, 5
ATTENTION = 4 * LAYERS * LENGTH * HIDDEN
"""Of one token: scores and weighted sum, each of HIDDEN multiplications and additions with each of LENGTH places."""


def counted(*, trained: tuple[str, ...] = (), cached: int = 0) -> Compute:
    """What one pass of a tiny model adds, and the backward pass where something is trained."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    count_compute(model)
    for name, weight in model.named_parameters():
        weight.requires_grad = any(part in name for part in trained)
    before = Compute(SPENT.tokens, SPENT.forward_flops, SPENT.backward_flops)
    tokens = torch.ones((ROWS, LENGTH), dtype=torch.long)
    if cached:
        model.generate(tokens, max_new_tokens=cached + 1, min_new_tokens=cached + 1, do_sample=False)  # pyright: ignore
    else:
        model(input_ids=tokens)
    return SPENT - before


def test_a_forward_pass_is_two_operations_a_weight_and_token() -> None:
    spent = counted()
    assert spent.tokens == ROWS * LENGTH
    assert spent.forward_flops == ROWS * LENGTH * (2 * WEIGHTS + ATTENTION)
    assert spent.backward_flops == 0


def test_training_everything_takes_twice_the_forward_pass_more() -> None:
    spent = counted(trained=("",))
    assert spent.backward_flops == 2 * spent.forward_flops


def test_frozen_weights_take_no_gradient_of_their_own() -> None:
    spent = counted(trained=("q_proj",))
    trained = LAYERS * HIDDEN * HIDDEN
    assert spent.backward_flops == ROWS * LENGTH * (2 * WEIGHTS + 2 * ATTENTION + 2 * trained)


def test_a_generated_token_looks_back_at_all_before_it() -> None:
    spent = counted(cached=1)
    assert spent.tokens == ROWS * (LENGTH + 1)
    first = ROWS * LENGTH * (2 * WEIGHTS + ATTENTION)
    assert spent.forward_flops == first + ROWS * (2 * WEIGHTS + 4 * LAYERS * (LENGTH + 1) * HIDDEN)


def test_counts_of_another_process_are_added() -> None:
    ours = Compute(1, 2.0, 3.0)
    ours.add(Compute(10, 20.0, 30.0))
    assert ours == Compute(11, 22.0, 33.0)
