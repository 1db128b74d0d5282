"""Checks of `gpu_first_run` at the size of a 7B model: rates, peaks of memory, and what else only a real card shows."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from benchmarks.gpu_check import GPU, Line, Trial
from benchmarks.gpu_jobs import made_material
from benchmarks.k_center import made_up_rows, measure
from benchmarks.shared_pass import machine, seconds_of
from benchmarks.training_packing import by_rows
from selection_platform.configuration.settings import (
    ATTENTION_PROJECTIONS,
    FineTuningSettings,
    LoraSettings,
    ScoringSettings,
)
from selection_platform.configuration.text_settings import PAPER
from selection_platform.estimate import memory
from selection_platform.evaluation.engine import TransformersEngine
from selection_platform.job.compute import SPENT, cost_of_pairs, count_compute
from selection_platform.methods.diverse_evol.k_center import k_center
from selection_platform.methods.less.adam_direction import prepare_moments
from selection_platform.methods.less.influence_pass import batch_influence
from selection_platform.methods.less.sample_gradients import SampleGradients
from selection_platform.methods.less.warmed_up import WarmedUp
from selection_platform.methods.target_similarity import similarity
from selection_platform.models.forward_pass import check_model, forward
from selection_platform.models.head import float32_logits, logits_of
from selection_platform.models.packed_attention import packed_attention
from selection_platform.models.renderers import load_renderer
from selection_platform.training.batches import Row, collate, pack
from selection_platform.training.loop import train, training_arguments
from selection_platform.training.loss import loss_in_parts, without_adapter
from selection_platform.training.order import EpochOrder, Packed

ADAPTER = LoraSettings(rank=128, alpha=512, dropout=0.1)
LOGIT_ROWS = 8192
MOST_GRADIENT, MORE_EXACT = 1e-4, 10
TOKENS = 500
"""Token ids that rows are made of; every model has them."""


def random_ids(lengths: Sequence[int]) -> list[NDArray[np.int64]]:
    """Rows of token ids, the same in every run."""
    generator = np.random.default_rng(0)
    return [generator.integers(1, TOKENS, length) for length in lengths]


def random_rows(lengths: Sequence[int]) -> list[Row]:
    """Training rows, whose second halves are trained on."""
    return [Row(ids.astype(np.int32), np.arange(len(ids)) >= len(ids) // 2) for ids in random_ids(lengths)]


def adapted(model: PreTrainedModel, lora: LoraSettings, *, in_float32: bool) -> PeftModel:
    """A new adapter on the model's attention."""
    settings = LoraConfig(
        task_type="CAUSAL_LM", r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
        target_modules=list(ATTENTION_PROJECTIONS),
    )  # fmt: skip
    return cast(PeftModel, get_peft_model(model, settings, autocast_adapter_dtype=in_float32))


def matrix_rate(trial: Trial) -> Iterator[Line]:
    """The card, the packages, and how fast it multiplies."""
    is_known = not trial.tiny and any(name in machine() for name in ("H100", "H200"))
    rate, versions = trial.ceiling / 1e12, f"torch {torch.__version__}, transformers {version('transformers')}"
    measured = f"{machine()}, {versions}: {rate:.2f} TFLOP/s"
    yield Line("bfloat16 matrix products", "H100: about 790 TFLOP/s", measured, rate >= 600 if is_known else None)


def shared_pass(trial: Trial) -> Iterator[Line]:
    """The pass behind most scores, on rows of three lengths."""
    model = trial.model()
    check_model(model)
    count_compute(model)
    for count, width in ((4, 64), (8, 32)) if trial.tiny else ((16, 4096), (128, 512), (400, 160)):
        name = f"shared pass, {count} x {width:,}"
        estimate = memory.forward_pass(trial.shape(), "bfloat16", count * width, LOGIT_ROWS, GPU)

        def run(count: int = count, width: int = width) -> object:
            return forward(model, random_ids([width] * count), width // 2, LOGIT_ROWS)

        yield from trial.peak(name, estimate, run)
        before = SPENT.forward_flops
        seconds = seconds_of(run)
        share = (SPENT.forward_flops - before) / seconds / trial.ceiling
        measured = f"{share:.0%}, {count * width / seconds:,.0f} tokens/s"
        yield Line(f"{name}: rate", ">= 60% of matrix products", measured, trial.on_gpu(share >= 0.6))


def warmed_up(model: PreTrainedModel) -> tuple[WarmedUp, dict[str, torch.Tensor]]:
    """A model as at the end of a warm-up, with made-up moments and one group of targets."""
    adapter = adapted(model, ADAPTER, in_float32=False).eval().requires_grad_(False)
    layers: dict[str, torch.nn.Linear] = {
        name: module
        for name, module in adapter.named_modules()
        if name.endswith(("lora_A.default", "lora_B.default")) and isinstance(module, torch.nn.Linear)
    }
    moments = {
        name: prepare_moments(
            torch.zeros_like(layer.weight), torch.ones_like(layer.weight), 3, (0.9, 0.999), 1e-8, ["adam"]
        )
        for name, layer in layers.items()
    }
    vectors = {name: torch.ones(1, layer.weight.numel(), device=model.device) for name, layer in layers.items()}
    return WarmedUp(SampleGradients(model, layers, LOGIT_ROWS), moments), vectors


def influence(trial: Trial) -> Iterator[Line]:
    """LESS: gradients of single samples, by an adapter of rank 128."""
    model = trial.model()
    warmed, vectors = warmed_up(model)
    for count, width in ((2, 64),) if trial.tiny else ((1, 4096), (10, 400)):
        name = f"LESS, {count} x {width:,}"

        def run(count: int = count, width: int = width) -> object:
            prompts = np.full(count, width // 2)
            return batch_influence(warmed, vectors, ["adam"], random_ids([width] * count), prompts)

        sizes = ScoringSettings(max_length=width, tokens_per_batch=count * width)
        adapter = trial.shape().adapter(ADAPTER)
        estimate = memory.influence(trial.shape(), "bfloat16", sizes, adapter, 1, 1, GPU)
        yield from trial.peak(name, estimate, run)
        yield Line(f"{name}: rate", "no bound", f"{count * width / seconds_of(run):,.0f} tokens/s")


def training_peak(trial: Trial, kind: str, recipe: FineTuningSettings) -> Iterator[Line]:
    """Two optimiser steps of two full micro-batches, through the platform's own loop."""
    name = f"{kind}, {recipe.batch_per_device} x {recipe.max_length:,}"
    model: Any = trial.model()
    # The re-entrant kind finds no gradients if the base model is frozen.
    model.gradient_checkpointing_enable({"use_reentrant": False})
    if recipe.lora:
        model = adapted(model, recipe.lora, in_float32=True)
    folder = trial.folder / recipe.optimizer
    folder.mkdir()
    arguments = training_arguments(
        folder, global_batch=recipe.global_batch, batch_per_device=recipe.batch_per_device, seed=0, save_steps=None,
        precision="bfloat16", optimizer=recipe.optimizer, max_steps=2, learning_rate=recipe.learning_rate,
    )  # fmt: skip
    rows = random_rows([recipe.max_length] * (2 * recipe.global_batch))
    tokens = len(rows) * recipe.max_length
    estimate = memory.training(trial.shape(), recipe, GPU)
    seconds: list[float] = []
    yield from trial.peak(name, estimate, lambda: seconds.append(train(model, rows, arguments, label=name).seconds))
    yield Line(f"{name}: rate", "no bound", f"{tokens / seconds[0]:,.0f} tokens/s, the first step's start included")


def recipe_of(trial: Trial, **more: Any) -> FineTuningSettings:
    """4 conversations of 4,096 tokens at once, 8 in a step."""
    length = 64 if trial.tiny else 4096
    return FineTuningSettings(
        global_batch=8, batch_per_device=4, max_length=length, gradient_checkpointing=True, **more
    )  # fmt: skip


def lora_step(trial: Trial) -> Iterator[Line]:
    """An adapter of rank 128."""
    yield from training_peak(trial, "LoRA", recipe_of(trial, lora=ADAPTER))


def full_step(trial: Trial) -> Iterator[Line]:
    """All weights with 8-bit AdamW. It writes 15 GB to the disk."""
    name = "full with 8-bit AdamW"
    if find_spec("torchao") is None:
        yield Line(name, "55 GB within 10%", "skipped: torchao is not installed")
        return
    yield from training_peak(trial, name, recipe_of(trial, optimizer="adamw_8bit"))


def backward(model: Any, batches: Sequence[Sequence[Row]], *, packed: bool) -> float:
    """The loss of micro-batches, whose gradients are added up."""
    total, plain = 0.0, without_adapter(model)
    with loss_in_parts(model), packed_attention(plain) if packed else nullcontext():
        for rows in batches:
            given = (pack if packed else collate)(rows)
            on_device = {key: each.to(plain.device) if key != "packed" else each for key, each in given.items()}
            loss = model(**on_device, num_items_in_batch=100)["loss"]
            loss.backward()
            total += loss.detach()
    return float(total)


def packed_gradients(trial: Trial) -> Iterator[Line]:
    """Rows end to end in one batch, in float32, against one row at a time: rows of other lengths, and of one."""
    small = {"vocab_size": 1024, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4}
    model = trial.model(torch.float32, **small, num_attention_heads=4, num_key_value_heads=2)
    for name, lengths in (("lengths vary", (37, 120, 5, 64)), ("one length", (50, 50, 50))):
        rows, found = random_rows(lengths), []
        for batches, packed in (([[row] for row in rows], False), ([rows], True)):
            model.zero_grad()
            loss = backward(model, batches, packed=packed)
            gradients = [cast(torch.Tensor, weight.grad).clone() for weight in model.parameters()]
            found.append((loss, gradients))
        (alone, expected), (together, gradients) = found
        largest = max(float(each.abs().max()) for each in expected)
        worst = max(float((one - two).abs().max()) for one, two in zip(expected, gradients, strict=True)) / largest
        worst = max(worst, abs(together / alone - 1))
        yield Line(
            f"packed against single rows, {name}: loss and gradients", f"<= {MOST_GRADIENT:.0e}", f"{worst:.1e}",
            worst <= MOST_GRADIENT,
        )  # fmt: skip


def packed_rate(trial: Trial) -> Iterator[Line]:
    """LoRA on conversations of unlike lengths, cut at 4,096 tokens: end to end against padded, four at a time."""
    model: Any = trial.model()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model = adapted(model, ADAPTER, in_float32=True).train()
    count, longest = (8, 64) if trial.tiny else (64, 4096)
    lengths = np.random.default_rng(0).lognormal(np.log(longest / 8), 0.9, count).astype(np.int64).clip(8, longest)
    rows, plan = random_rows(lengths.tolist()), Packed(4 * longest, cost_of_pairs(without_adapter(model)))
    # The number after the last is a blank row.
    packed = [batch for batch in EpochOrder(lengths.tolist(), count, 0, plan) if batch != (count,)]
    ways = {True: packed, False: list(by_rows(lengths, count, 4))}

    def run(way: bool) -> float:
        with torch.autocast(trial.device, torch.bfloat16, cache_enabled=False):
            return backward(model, [[rows[number] for number in batch] for batch in ways[way]], packed=way)

    seconds = {way: min(seconds_of(lambda way=way: run(way)) for _ in range(2)) for way in ways}
    rates = {way: lengths.sum() / taken for way, taken in seconds.items()}
    measured = f"{rates[True] / rates[False]:.2f}: {rates[True]:,.0f} tokens/s, padded {rates[False]:,.0f}"
    yield Line("packed / padded, LoRA", ">= 1", measured, trial.on_gpu(rates[True] >= rates[False]))


def logits(trial: Trial) -> Iterator[Line]:
    """The head's logits in float32, as scores have them, against the model's own in bfloat16."""
    model = trial.model(num_hidden_layers=1)
    count, some = (64, 64) if trial.tiny else (8192, 64)
    hidden = torch.randn(count, model.config.hidden_size, device=trial.device, dtype=torch.bfloat16)
    weight = cast(torch.nn.Linear, model.get_output_embeddings()).weight
    exact = (hidden[:some].double() @ weight.double().T).logsumexp(-1)
    errors, times = [], []
    for in_float32 in (False, True):
        with torch.inference_mode(), float32_logits(model) if in_float32 else nullcontext():
            found = logits_of(model, hidden[:some]).float().logsumexp(-1)
            errors.append(float((found - exact).abs().mean()))
            seconds_of(lambda: logits_of(model, hidden))
            times.append(min(seconds_of(lambda: logits_of(model, hidden)) for _ in range(5)))
    ratio, slower = errors[0] / errors[1], times[1] / times[0]
    measured = f"{ratio:.0f} times: {errors[0]:.1e} and {errors[1]:.1e}"
    yield Line("logits in float32: error of logsumexp", f">= {MORE_EXACT} times less", measured, ratio >= MORE_EXACT)
    measured = f"{slower:.2f} times: {times[0] * 1e3:.2f} and {times[1] * 1e3:.2f} ms"
    yield Line("logits in float32: time", "<= 1.3 times bfloat16's", measured, trial.on_gpu(slower <= 1.3))


def million_rows(trial: Trial) -> Iterator[Line]:
    """k-center and similarity to targets on a million vectors, which take a minute to make up."""
    rows, dim, picks, targets = (3000, 48, 100, 20) if trial.tiny else (1_000_000, 3584, 9000, 1000)
    small = made_up_rows(3000, 48)
    here, there = (k_center(small, np.arange(20), 200, device=device) for device in ("cpu", trial.device))
    same = int((here == there).sum())
    yield Line("k-center: picks as on a CPU", "200 of 200", f"{same} of 200", same == 200)
    vectors = made_up_rows(rows, dim)
    _, cost = measure(lambda: k_center(vectors, np.arange(rows // 1000), picks, device=trial.device))
    measured = f"{cost.seconds:.1f} s" + ("" if trial.tiny else f", peak {cost.peak_bytes / 1e9:.1f} GB")
    name = f"k-center, {picks:,} of {rows:,} x {dim:,}"
    yield Line(name, "<= 60 s", measured, trial.on_gpu(cost.seconds <= 60))
    _, cost = measure(lambda: similarity(vectors, vectors[:targets], picks))
    name = f"similarity of {rows:,} x {dim:,} to {targets:,} targets (on the CPU)"
    yield Line(name, "<= 60 s", f"{cost.seconds:.1f} s", trial.on_gpu(cost.seconds <= 60))


def decoding(trial: Trial) -> Iterator[Line]:
    """Greedy answers to a batch, through the evaluation's engine. To read the weights alone takes 5 ms a step."""
    model, (count, width, new) = trial.model(), (4, 16, 8) if trial.tiny else (32, 1200, 65)
    engine = TransformersEngine(model, load_renderer(made_material(trial).model, PAPER), count)
    prompts = [ids.tolist() for ids in random_ids([width] * count)]

    def answer(tokens: int) -> object:
        return list(engine.generate(prompts, tokens, ()))

    answer(2)
    seconds = (seconds_of(lambda: answer(new)) - seconds_of(lambda: answer(1))) / (new - 1)
    yield Line(
        f"decoding, {count} prompts of {width:,} tokens", "<= 40 ms a step", f"{seconds * 1e3:.1f} ms",
        trial.on_gpu(seconds <= 0.04),
    )  # fmt: skip
    estimate = memory.evaluation(trial.shape(), "bfloat16", count, width, new, GPU)
    yield from trial.peak("decoding", estimate, lambda: answer(2))
