"""Peak memory of each job, by formulas that were fitted to fake tensors at 7B (`tests/estimate/test_memory_at_7b.py`).

Counted are weights, gradients, Adam's state, activations and logits of the largest batch. What an accelerator's
allocator and NCCL lose comes on top, about 4 GB; 80 GB here are 80e9 bytes, some 6 GB less than such a card has. On a
CPU the process itself, with its libraries, is counted too. Sizes are bytes.
"""

from dataclasses import dataclass

from selection_platform.configuration.settings import FineTuningSettings, ScoringSettings
from selection_platform.estimate.shape import Shape
from selection_platform.training.sizes import ADAM, LOGITS

BYTES = {"float32": 4, "bfloat16": 2}

PROCESS = {"child": 500_000_000, "in_process": 900_000_000}
"""A process with torch and transformers loaded, and one that has Dagster and DuckDB beside them."""

TRAINER = 200_000_000
"""What Trainer loads, and what the C library keeps of the memory that a training frees."""

STEP_8BIT = 60
"""Bytes for each weight of the largest matrix, the embedding, that a step of 8-bit AdamW takes, as measured."""

K_CENTER_BLOCKS = 2 * 2**30
"""What k-center's blocks take on a GPU."""


@dataclass(frozen=True)
class Place:
    """Where a job runs, as far as it decides memory.

    Attributes:
        is_cpu: its memory holds the process too.
        training: the number type that training computes in.
        processes: that share a job; each holds the whole model, unless training splits it.
        run: as in `jobs` of a profile.
    """

    is_cpu: bool
    training: str
    processes: int = 1
    run: str = "in_process"

    def all(self, each: float) -> int:
        """Of all processes that share the memory."""
        return round((each + PROCESS.get(self.run, PROCESS["child"])) * self.processes if self.is_cpu else each)


def forward_pass(shape: Shape, dtype: str, tokens: int, logit_rows: int, place: Place) -> int:
    """A scoring pass: the weights, and the larger of the feed-forward block's activations and the logits."""
    size = BYTES[dtype]
    logits = min(logit_rows, tokens) * shape.vocabulary * (size + 8)
    return place.all(size * shape.parameters + max(_block(shape, tokens, size), logits + tokens * shape.hidden * size))


def _block(shape: Shape, tokens: int, size: int) -> float:
    """Activations inside one block, at its widest: three of the feed-forward width, and the residual stream."""
    return tokens * size * (3 * shape.intermediate + 4.6 * shape.hidden)


def influence(
    shape: Shape, dtype: str, scoring: ScoringSettings, adapter: int, groups: int, directions: int, place: Place
) -> int:
    """LESS's backward pass: all blocks' activations, Adam's moments, and one vector for each group of targets."""
    size, tokens = BYTES[dtype], scoring.tokens_per_batch
    states = 4 * adapter * (1 + directions + groups)
    kept = shape.layers * tokens * _saved(shape, size, stream=size, adapted=True)
    # Gradients of single samples, a few at a time; rows of fewer than 64 tokens are rare.
    singles = 5 * 4 * min(2**18 if place.is_cpu else 2**26, tokens // 64 * adapter // (4 * shape.layers))
    return place.all(size * (shape.parameters + adapter) + states + kept + _block(shape, tokens, size) + singles)


def training(shape: Shape, recipe: FineTuningSettings, place: Place) -> int:
    """A step of a fine-tuning on its largest micro-batch: at the loss, or in the first block of the backward pass.

    Full fine-tuning has weights, gradients and Adam's two moments in float32, and in bfloat16 the head once more while
    the loss is computed; with 8-bit AdamW, weights and gradients in bfloat16. A second process adds the buckets in
    which gradients are summed. Of a model that is split, the weights of two blocks are gathered at a time, and the
    gradient of one is kept twice.
    """
    full, trained = recipe.lora is None, shape.trained(recipe.lora)
    size = BYTES[place.training]
    weight, moments = adam_bytes(recipe)
    stream = weight if full else size
    tokens = recipe.batch_per_device * recipe.max_length
    fixed = float((weight if full else size) * shape.parameters + (0 if full else weight * trained))
    fixed += (weight + moments) * trained
    split = recipe.shard and full and place.processes > 1
    of_block = 4 * shape.passed / shape.layers if split else 0.0
    if split:
        fixed /= place.processes
    elif place.processes > 1:
        fixed += weight * trained
    # An adapter's inputs are cast for each of its layers, and dropout keeps them and its mask.
    more = 0 if recipe.lora is None else 28 if size == 4 else 22 if recipe.lora.dropout else 6
    block = tokens * (_saved(shape, size, stream=stream, adapted=not full) + more * shape.hidden)
    # The backward pass needs the copies in bfloat16 that products were made with.
    block += size * shape.passed / shape.layers if size < stream else 0
    kept = shape.layers * (tokens * shape.hidden * stream if recipe.gradient_checkpointing else block)
    kept += 4 * stream * tokens * shape.hidden
    # The gradient of the head: the sum over all parts of the loss, and that of one part beside the weights cast.
    head = (8 if size == 2 or not split else 12) * shape.head if full else 0
    logits = (10 if size == 2 else 12) * min(LOGITS, tokens * shape.vocabulary)
    at_loss = kept + head + logits + of_block
    backward = kept + (block if recipe.gradient_checkpointing else 0) + 4 * of_block
    if recipe.global_batch == recipe.batch_per_device * place.processes:
        # A step's only micro-batch has no gradients until its backward pass, which frees activations meanwhile.
        gradients = weight * trained / (place.processes if split else 1)
        at_loss -= gradients
        backward = max(backward - gradients, block)
    # Not compiled on a CPU, the 8-bit step makes some numbers of each weight of a matrix at a time.
    step = STEP_8BIT * shape.head if place.is_cpu and recipe.optimizer == "adamw_8bit" else 0
    return place.all(fixed + max(at_loss, backward, step) + (TRAINER if place.is_cpu else 0))


def adam_bytes(recipe: FineTuningSettings) -> tuple[int, int]:
    """Bytes of a trained weight, which its gradient has too, and of its two moments."""
    return ADAM["bfloat16" if recipe.optimizer == "adamw_8bit" else "float32"]


def _saved(shape: Shape, size: int, *, stream: int, adapted: bool) -> float:
    """Activations of a block that are kept for the backward pass, in bytes for each token.

    Args:
        shape: the model.
        size: bytes of a number in products.
        stream: bytes of a number in the residual stream.
        adapted: whether the matrices themselves are frozen, so that not all their inputs are needed.
    """
    hidden, heads = shape.hidden, 3 * shape.attention + 3 * shape.keys
    if adapted:
        return size * (3 * shape.intermediate + heads + hidden) + 11 * hidden
    # Where products are cast, each of five matrices keeps a copy of its input of its own.
    inputs = 5 if size < stream else 2
    return size * (4 * shape.intermediate + heads + inputs * hidden) + 2 * hidden * (4 + stream)


def evaluation(shape: Shape, dtype: str, batch: int, prompt: int, new: int, place: Place) -> int:
    """Decoding: the weights, keys and values of a batch, and the activations of its prompts."""
    size = BYTES[dtype]
    each_token = 2 * shape.layers * shape.keys * size
    prompts = batch * prompt
    largest = max(prompts * each_token + _block(shape, prompts, size), each_token * batch * (prompt + new))
    return place.all(size * shape.parameters + largest)


def clusters(rows: int, width: int) -> int:
    """k-means, on the host: twice the embeddings, as scikit-learn copies them."""
    return 2 * 4 * rows * width + PROCESS["in_process"]


def k_center(rows: int, width: int, place: Place) -> int:
    """DiverseEvol's picking: all embeddings on the device."""
    return place.all(4 * rows * width + 8 * rows + (0 if place.is_cpu else K_CENTER_BLOCKS))
