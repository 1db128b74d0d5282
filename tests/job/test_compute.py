"""Tests of the count of arithmetic: by hand on single passes, and against torch's own counter on whole jobs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from selection_platform.features.answer_likelihood import LikelihoodSpec, score
from selection_platform.job.compute import SPENT, Compute, cost_of_pairs, count_compute, gpu_time_counted
from selection_platform.methods.less.gradient_influence import InfluenceSpec, measure
from selection_platform.methods.selectit.rating_probability import next_token_log_probabilities
from selection_platform.models.forward_pass import last_hidden_state
from selection_platform.models.loading import load_model
from selection_platform.models.packed_attention import packed_attention, places
from selection_platform.training import loop
from selection_platform.training.fine_tuning import fine_tune
from tests.specs import changed, made
from tests.tiny import SIZES, random_samples, write_samples
from tests.warm_ups import warm_up_spec

HIDDEN, INNER, LAYERS, VOCABULARY = 8, 16, 2, 32
HEAD = HIDDEN * VOCABULARY
WEIGHTS = LAYERS * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER) + HEAD
ROWS, LENGTH = 3, 5
ATTENTION = 4 * LAYERS * LENGTH * HIDDEN
"""Of one token: scores and weighted sum, each of HIDDEN multiplications and additions with each of LENGTH places."""


def tiny() -> LlamaForCausalLM:
    """A model whose passes are counted."""
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
    return model


def counted(run: Callable[[], Any]) -> Compute:
    """What `run` adds."""
    before = replace(SPENT)
    run()
    return SPENT - before


def forward_and_backward(*trained: str) -> Compute:
    """A pass over ROWS of LENGTH tokens where the named weights are trained."""
    model = tiny()
    for name, weight in model.named_parameters():
        weight.requires_grad = any(part in name for part in trained)
    tokens = torch.ones((ROWS, LENGTH), dtype=torch.long)
    return counted(lambda: model(input_ids=tokens).logits.sum().backward())


def test_a_forward_pass_is_two_operations_a_weight_and_token() -> None:
    model, tokens = tiny(), torch.ones((ROWS, LENGTH), dtype=torch.long)
    # All weights would be trained, but no backward pass comes.
    spent = counted(lambda: model(input_ids=tokens))
    assert spent == Compute(ROWS * LENGTH, ROWS * LENGTH * (2 * WEIGHTS + ATTENTION), 0)


def test_training_everything_takes_twice_the_forward_pass_more() -> None:
    spent = forward_and_backward("")
    assert spent.forward_flops == ROWS * LENGTH * (2 * WEIGHTS + ATTENTION)
    assert spent.backward_flops == 2 * spent.forward_flops


def test_frozen_weights_take_no_gradient_of_their_own() -> None:
    spent = forward_and_backward("q_proj")
    trained = LAYERS * HIDDEN * HIDDEN
    assert spent.backward_flops == ROWS * LENGTH * (2 * WEIGHTS + 2 * ATTENTION + 2 * trained)


def test_a_generated_token_looks_back_at_all_before_it() -> None:
    model, tokens = tiny(), torch.ones((ROWS, LENGTH), dtype=torch.long)
    spent = counted(lambda: model.generate(tokens, max_new_tokens=2, min_new_tokens=2, do_sample=False))  # pyright: ignore
    assert spent.tokens == ROWS * (LENGTH + 1)
    # Of the prompt, logits are made for the last place only.
    first = ROWS * LENGTH * (2 * (WEIGHTS - HEAD) + ATTENTION) + ROWS * 2 * HEAD
    assert spent.forward_flops == first + ROWS * (2 * WEIGHTS + 4 * LAYERS * (LENGTH + 1) * HIDDEN)


def test_of_packed_rows_each_has_its_own_pairs() -> None:
    model = tiny()
    tokens = torch.ones((1, 5 + 3), dtype=torch.long)
    with packed_attention(model):
        decode = model.get_decoder()
        spent = counted(lambda: decode(input_ids=tokens, position_ids=places([5, 3]), packed=[5, 3]))
    assert spent.forward_flops == 8 * 2 * (WEIGHTS - HEAD) + 4 * LAYERS * HIDDEN * (5**2 + 3**2)
    # Pairs with a later token are not computed.
    assert cost_of_pairs(model) == 4 * LAYERS * HIDDEN / 2 / (2 * (WEIGHTS - HEAD))


def test_the_head_counts_where_it_makes_logits() -> None:
    model, tokens = tiny().eval(), torch.ones((ROWS, LENGTH), dtype=torch.long)
    without = ROWS * LENGTH * (2 * (WEIGHTS - HEAD) + ATTENTION)
    with torch.no_grad():
        assert counted(lambda: last_hidden_state(model, tokens)).forward_flops == without
    rows = [np.ones(LENGTH, dtype=np.int64)] * ROWS
    spent = counted(lambda: next_token_log_probabilities(model, rows, np.array([1])))
    assert spent.forward_flops == without + ROWS * 2 * HEAD


def test_of_a_mixture_a_token_meets_the_experts_that_are_chosen_for_it() -> None:
    experts, chosen = 4, 2
    sizes: dict[str, Any] = {
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "vocab_size": VOCABULARY,
    }
    mixture: dict[str, Any] = {"num_local_experts": experts, "num_experts_per_tok": chosen}
    model = MixtralForCausalLM(MixtralConfig(**sizes, **mixture, num_attention_heads=2, num_key_value_heads=2))
    count_compute(model)
    spent = counted(lambda: model(input_ids=torch.ones((ROWS, LENGTH), dtype=torch.long)))
    met = LAYERS * (4 * HIDDEN * HIDDEN + experts * HIDDEN + chosen * 3 * HIDDEN * INNER) + HEAD
    assert spent == Compute(ROWS * LENGTH, ROWS * LENGTH * (2 * met + ATTENTION), 0)


def test_a_model_without_attention_has_none_counted() -> None:
    model = MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=1, state_size=4))
    count_compute(model)
    weights = sum(w.numel() for w in model.parameters() if w.ndim == 2)
    spent = counted(lambda: model(input_ids=torch.ones((ROWS, LENGTH), dtype=torch.long)))
    assert spent.forward_flops == pytest.approx(ROWS * LENGTH * 2 * weights)


def test_counts_of_another_process_are_added() -> None:
    ours = Compute(1, 2.0, 3.0, 4.0)
    ours.add(Compute(10, 20.0, 30.0, 40.0))
    assert ours == Compute(11, 22.0, 33.0, 44.0)
    assert ours - Compute(1, 2.0, 3.0, 4.0) == Compute(10, 20.0, 30.0, 40.0)


@pytest.mark.parametrize(("has_gpu", "seconds"), [(True, 5.0), (False, 0.0)])
def test_time_on_a_gpu_is_counted_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, seconds: float
) -> None:
    clock = iter([100.0, 105.0])
    monkeypatch.setattr("selection_platform.job.compute.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)

    def job() -> None:
        with gpu_time_counted():
            pass

    assert counted(job).gpu_seconds == seconds


# Deep enough that the first layer, whose lower half no backward pass of an adapter reaches, weighs little.
DEEPER = LlamaConfig(**{**SIZES, "num_hidden_layers": 8, "num_key_value_heads": 4})


@contextmanager
def by_torch() -> Iterator[FlopCounterMode]:
    """Torch's count of the products of matrices that really run. Only this attention is made of such."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield counter


def held_against_torch(run: Callable[[], Any], tolerance: float) -> Compute:
    """What `run` adds, which is as much as torch counts."""
    with by_torch() as counter:
        spent = counted(run)
    assert spent.forward_flops + spent.backward_flops == pytest.approx(counter.get_total_flops(), rel=tolerance)
    return spent


@pytest.fixture
def warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Its passes over a dozen tokens are not counted.
    monkeypatch.setattr(loop, "why_not_packed", lambda _: None)
    return warm_up_spec(tmp_path, DEEPER, batch_per_device=2)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_full_training_against_torch(checkpointing: bool, warm_up, tmp_path: Path) -> None:
    spec = changed(warm_up, lora=None, keep_epochs=False, gradient_checkpointing=checkpointing)
    spent = held_against_torch(lambda: fine_tune(spec, tmp_path / "out"), 0.05 if checkpointing else 0.001)
    assert spent.backward_flops == pytest.approx((1 if checkpointing else 2) * spent.forward_flops, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_an_adapters_training_against_torch(checkpointing: bool, warm_up, tmp_path: Path) -> None:
    spec = changed(warm_up, gradient_checkpointing=checkpointing)
    held_against_torch(lambda: fine_tune(spec, tmp_path / "out"), 0.05 if checkpointing else 0.03)


@pytest.mark.slow
def test_influence_against_torch(warm_up, tmp_path: Path) -> None:
    fine_tune(warm_up, tmp_path / "warm")
    write_samples(tmp_path / "samples.parquet", random_samples(9))
    targets = pq.read_table(tmp_path / "samples.parquet").slice(0, 2)
    pq.write_table(targets.append_column("target", pa.array(["one"] * 2)), tmp_path / "targets.parquet")
    spec = made(
        InfluenceSpec,
        warmup_folder=str(tmp_path / "warm"),
        samples_file=str(tmp_path / "samples.parquet"),
        targets_file=str(tmp_path / "targets.parquet"),
        directions=("adam", "published"),
        max_length=100,
        tokens_per_batch=400,
        logit_rows=50,
    )
    spent = held_against_torch(lambda: measure(spec, tmp_path / "out"), 0.03)
    # Through frozen weights a backward pass is as much as a forward one; attention's and the adapter's own come on top.
    assert spent.forward_flops < spent.backward_flops < 1.5 * spent.forward_flops


@pytest.mark.slow
def test_likelihood_and_generation_against_torch(warm_up, tmp_path: Path) -> None:
    write_samples(tmp_path / "samples.parquet", random_samples(24))
    spec = made(
        LikelihoodSpec,
        model_folder=warm_up.base_model_folder,
        samples_file=str(tmp_path / "samples.parquet"),
        max_length=100,
        tokens_per_batch=400,
        logit_rows=50,
    )
    spent = held_against_torch(lambda: score(spec, tmp_path / "out"), 0.001)
    assert spent.backward_flops == 0
    model, _ = load_model(Path(warm_up.base_model_folder))
    tokens = torch.ones((ROWS, LENGTH), dtype=torch.long)
    held_against_torch(lambda: model.generate(tokens, max_new_tokens=9, min_new_tokens=9, do_sample=False), 0.001)  # pyright: ignore
