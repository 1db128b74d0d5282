"""Peak memory at 7B: the formulas against transformers' own models on fake tensors, which have shapes and no numbers.

The tensors pretend to be on a CPU, so that no GPU is needed; products are cast as on a GPU.
"""

import weakref
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import distributed
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.fsdp._fully_shard import _fsdp_param
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig, Qwen2Config

from selection_platform.configuration.settings import FineTuningSettings, LoraSettings, ScoringSettings
from selection_platform.estimate import memory
from selection_platform.estimate.known_sizes import CONFIGURATIONS
from selection_platform.estimate.memory import Place
from selection_platform.estimate.shape import shape_of
from selection_platform.models.head import output_head
from selection_platform.models.packed_attention import packed_attention, places
from selection_platform.training import loss, sharding

GPU = Place(is_cpu=False, training="bfloat16")
QWEN2_7B = Qwen2Config(**CONFIGURATIONS["Qwen/Qwen2-7B"])
LLAMA3_8B = LlamaConfig(**CONFIGURATIONS["meta-llama/Meta-Llama-3-8B"], max_position_embeddings=8192)


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self):
        super().__init__()
        self.seen = weakref.WeakKeyDictionary()
        self.now = self.peak = 0
        self.vocabulary = self.positions = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._add((tensor.to_local() if isinstance(tensor, DTensor) else tensor).untyped_storage())
                if tensor.shape[-1:] == (self.vocabulary,):
                    self.positions = max(self.positions, tensor.shape[:-1].numel())
        return result

    def _add(self, storage):
        size = storage.nbytes()
        if storage not in self.seen:
            self.seen[storage] = [0]
            weakref.finalize(storage, self._drop, self.seen[storage])
        # FSDP frees a tensor by making its storage smaller.
        self.now += size - self.seen[storage][0]
        self.seen[storage][0] = size
        self.peak = max(self.peak, self.now)

    def _drop(self, size):
        self.now -= size[0]
        size[0] = 0


@contextmanager
def counted():
    with FakeTensorMode(), Live() as live:
        yield live


def fake(config, dtype):
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")


def training_peak(config, recipe, monkeypatch):
    """Bytes at the peak of a step with two micro-batches, and Adam's moments."""
    small = recipe.optimizer == "adamw_8bit"
    with counted() as live:
        model: Any = fake(config, torch.bfloat16 if recipe.lora or small else torch.float32)
        if recipe.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        if recipe.lora:
            model = adapted(model, recipe.lora, monkeypatch)
        model.train()
        monkeypatch.setattr(loss, "_before_targets", all_but_the_last)
        with loss.loss_in_parts(model), packed_attention(loss.without_adapter(model)):
            for _ in range(2):
                batch = largest(recipe.batch_per_device, recipe.max_length)
                with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                    found = model(**batch, num_items_in_batch=1)["loss"]
                found.backward()
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        return live.peak + (2 if small else 8) * trained


def largest(rows, tokens):
    """A micro-batch that is full: some of the longest rows, and shorter ones."""
    packed = [tokens] * (rows - 1) + [tokens // 2, tokens // 4, tokens // 4]
    ids = torch.zeros(1, rows * tokens, dtype=torch.long)
    return {"input_ids": ids, "labels": ids, "position_ids": places(packed), "packed": packed}


def all_but_the_last(labels):
    """Fake tensors have no numbers, from which targets could be found."""
    row, column = torch.meshgrid(*(torch.arange(size) for size in (len(labels), labels.shape[1] - 1)), indexing="ij")
    return row.flatten(), column.flatten()


def adapted(model, lora, monkeypatch, dtype=torch.float32):
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora.layer import LoraLayer

    # Fake tensors have no place to move to.
    monkeypatch.setattr(LoraLayer, "_move_adapter_to_device_of_base_layer", lambda *_, **__: None)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    settings = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=names)
    # As `_move_adapter_to_device_of_base_layer` would leave it.
    torch.set_default_dtype(dtype)
    try:
        return get_peft_model(model, settings, autocast_adapter_dtype=dtype is torch.float32)
    finally:
        torch.set_default_dtype(torch.float32)


FULL = FineTuningSettings(batch_per_device=4, max_length=4096, gradient_checkpointing=True)
SHORT = FineTuningSettings(batch_per_device=4, max_length=512)
ADAPTER = LoraSettings(rank=128, dropout=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "recipe"),
    [
        (QWEN2_7B, FULL),
        (LLAMA3_8B, FULL),
        (QWEN2_7B, SHORT),
        (QWEN2_7B, FULL.model_copy(update={"lora": ADAPTER})),
        (QWEN2_7B, SHORT.model_copy(update={"lora": ADAPTER})),
        (QWEN2_7B, SHORT.model_copy(update={"lora": LoraSettings(rank=16)})),
        (QWEN2_7B, FULL.model_copy(update={"optimizer": "adamw_8bit"})),
        (QWEN2_7B, SHORT.model_copy(update={"optimizer": "adamw_8bit"})),
    ],
    ids=[
        "full",
        "full, llama",
        "no checkpointing",
        "LoRA",
        "LoRA, no checkpointing",
        "LoRA, no dropout",
        "8 bits",
        "8 bits, no checkpointing",
    ],
)
def test_training(config, recipe, monkeypatch):
    found = memory.training(shape_of(config.to_dict()), recipe, GPU)
    assert found == pytest.approx(training_peak(config, recipe, monkeypatch), rel=0.1)


@pytest.fixture
def four_processes(monkeypatch):
    """The first of four processes, whose messages go nowhere."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    distributed.init_process_group("fake", rank=0, world_size=4, store=FakeStore())
    # A mesh has numbers, which fake tensors lack.
    mesh = sharding.init_device_mesh("cpu", (4,))
    monkeypatch.setattr(sharding, "init_device_mesh", lambda *_: mesh)
    yield
    distributed.destroy_process_group()


def also_counted(change, live):
    def changed(tensor):
        change(tensor)
        live._add(tensor.untyped_storage())

    return changed


@pytest.mark.slow
@pytest.mark.usefixtures("four_processes")
@pytest.mark.parametrize("config", [QWEN2_7B, LLAMA3_8B], ids=lambda config: config.model_type)
def test_a_training_that_four_processes_split(config, monkeypatch):
    monkeypatch.setattr(loss, "_before_targets", all_but_the_last)
    with counted() as live:
        for name in ("alloc_storage", "free_storage"):
            monkeypatch.setattr(_fsdp_param, name, also_counted(getattr(_fsdp_param, name), live))
        model = fake(config, torch.float32)
        model.gradient_checkpointing_enable({"use_reentrant": False})
        sharding.shard(model.train())
        live.peak, live.vocabulary = live.now, config.vocab_size
        with loss.loss_in_parts(model), packed_attention(model):
            for _ in range(2):
                with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                    found = model(**largest(4, 4096), num_items_in_batch=1)["loss"]
                found.backward()
        peak = live.peak + 8 * sum(part.to_local().numel() for part in model.parameters())
    recipe = FULL.model_copy(update={"shard": True})
    found = memory.training(shape_of(config.to_dict()), recipe, Place(is_cpu=False, training="bfloat16", processes=4))
    assert found == pytest.approx(peak, rel=0.05)
    assert peak < (46e9 if config is QWEN2_7B else 49e9)
    # The weights of the head are such tensors too.
    assert live.positions <= config.hidden_size < 4 * 4095


@pytest.mark.slow
@pytest.mark.parametrize("config", [QWEN2_7B, LLAMA3_8B], ids=lambda config: config.model_type)
def test_a_scoring_pass(config):
    with counted() as live, torch.inference_mode():
        model = fake(config, torch.bfloat16).eval()
        ids = torch.zeros(16, 4096, dtype=torch.long)
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        logits = output_head(model)(hidden.flatten(0, 1)[:8192]).float()
        # What logsumexp does inside.
        (logits - logits.amax(-1, keepdim=True)).exp_().sum(-1)
    found = memory.forward_pass(shape_of(config.to_dict()), "bfloat16", 16 * 4096, 8192, GPU)
    assert found == pytest.approx(live.peak, rel=0.1)


@pytest.mark.slow
def test_decoding():
    with counted() as live, torch.inference_mode():
        model = fake(QWEN2_7B, torch.bfloat16).eval()
        cache = DynamicCache(config=QWEN2_7B)
        for width, new in ((1500, 1500), (1501, 1), (1502, 1)):
            mask = torch.ones(32, width, dtype=torch.long)
            model(input_ids=mask[:, :new], attention_mask=mask, past_key_values=cache, logits_to_keep=1)
    found = memory.evaluation(shape_of(QWEN2_7B.to_dict()), "bfloat16", 32, 1500, 2, GPU)
    assert found == pytest.approx(live.peak, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("config", [QWEN2_7B, LLAMA3_8B], ids=lambda config: config.model_type)
def test_influence(config, monkeypatch):
    lora = LoraSettings(rank=128, dropout=0.1)
    with counted() as live:
        model: Any = adapted(fake(config, torch.bfloat16), lora, monkeypatch, torch.bfloat16)
        model.eval().requires_grad_(False)
        inputs = []

        def keep(_, given, output):
            if not output.requires_grad:
                output.requires_grad_()
            inputs.append(given[0].detach())

        for name, module in model.named_modules():
            if name.endswith(("lora_A.default", "lora_B.default")):
                module.register_forward_hook(keep)
        ids = torch.zeros(1, 4096, dtype=torch.long)
        hidden = model.get_base_model().get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        hidden.backward(torch.zeros_like(hidden))
    shape = shape_of(config.to_dict())
    scoring = ScoringSettings(max_length=4096, tokens_per_batch=4096)
    found = memory.influence(shape, "bfloat16", scoring, shape.adapter(lora), 1, 1, GPU)
    # Moments, the targets' vector and the gradients of single samples are not in what is simulated.
    beside = 4 * shape.adapter(lora) * 3
    assert found - beside == pytest.approx(live.peak, rel=0.1)
