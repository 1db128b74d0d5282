"""Fine-tunes a base model on a file of conversations.

The recipe is the paper's (arXiv 2410.09335, section 4.1 and its training script): loss on every answer of a
conversation and the end of its turn, prompts masked; no conversation sees another.

It uses `transformers.Trainer` and not TRL's SFTTrainer, because the platform tokenises and labels conversations itself
(`selection_platform.text.renderer`), so SFTTrainer would only add a second data path.

Loss: a step's gradient is that of the mean over all answer tokens of the global batch, for any micro-batches and
devices. LLaMA-Factory 0.8.2, with which the paper trained, averaged the means of the micro-batches instead, which gives
more weight to tokens in a micro-batch with few answer tokens.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, TrainerCallback, set_seed

from selection_platform.configuration.settings import ATTENTION_PROJECTIONS, FineTuningSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import open_job_folder, read_manifest, write_manifest
from selection_platform.job.processes import process_count
from selection_platform.job.registry import Job
from selection_platform.job.spec import FilePath, JobText, Spec
from selection_platform.job.versions import VERSIONS
from selection_platform.models.loading import ENDS_KEY, base_entry, load_model, save_tokenizer, try_saving
from selection_platform.models.lora_targets import lora_targets
from selection_platform.models.provenance import model_identity, package_versions, weights_hash
from selection_platform.models.renderers import load_renderer, text_identity
from selection_platform.text.renderer import Renderer
from selection_platform.training.batches import Rows, file_identity, read_conversations, tokenize_rows
from selection_platform.training.checkpoints import CHECKPOINTS, remove_checkpoints
from selection_platform.training.epoch_snapshots import EpochSnapshots, check_samples_apart
from selection_platform.training.loop import (
    Outcome,
    Precision,
    train,
    training_arguments,
)

_LORA_OF_FULL = {
    "lora_rank": 128,
    "lora_alpha": 512,
    "lora_dropout": 0.1,
    "lora_target_modules": ATTENTION_PROJECTIONS,
}
"""The adapter in the identity of a full fine-tuning. Without it, existing folders would no longer match."""


class FineTuningSpec(Spec):
    """What to train, on what, and how.

    Attributes:
        base_model_folder: folder of the model to start from.
        train_file: Parquet file with columns position, sample_id, messages, in order of position.
        recipe: the rest of the training. `batch_per_device` changes memory and speed, not the optimisation.
        text: how conversations become text.
        seed: seed of the order of conversations, the adapter's initial weights and dropout.
        keep_epochs: also keep the adapter and Adam's moments after each epoch (see `EpochSnapshots`); LoRA only.
        precision: the number type of products. With bfloat16 the weights that AdamW updates stay in float32: at the
            paper's learning rate an update is smaller than bfloat16 resolves. 8-bit AdamW updates weights in bfloat16,
            and rounds them up or down at random, so that small updates count on average.
    """

    base_model_folder: FilePath
    train_file: FilePath
    recipe: FineTuningSettings
    text: JobText
    seed: int
    precision: Precision
    keep_epochs: bool = False


def fine_tune(spec: FineTuningSpec, folder: Path, *, is_round: bool = False) -> dict[str, Any]:
    """Train as `spec` says and write the model to `folder`; a killed run continues from its last checkpoint.

    Full weights are stored in the number type that they were trained in, and an adapter in float32. It is stored
    separately, and its manifest names the base model's folder, relative to `folder`, so that both can move together.

    Args:
        spec: what to train and how.
        folder: the job's folder.
        is_round: whether a method trains this on the way to its picks. Then the model may stay the base model, as in a
            training of one step, whose learning rate is 0 with a warm-up.

    Returns:
        The manifest: spec, rows, tokens, steps, loss (nats per answer token), seconds, peak memory, hashes, versions.
        Empty on all but the first of several processes.

    Raises:
        PlatformError: no conversation has an answer within `max_length`, the model would stay the base model,
            the global batch does not divide evenly, `keep_epochs` is set for full weights, the adapter is for layers
            that the model lacks, or torchao is needed and not installed.
        UnsavableModel: the result could not be saved; no step was run.
        NotFinite: the training diverged.
    """
    recipe = spec.recipe
    if spec.keep_epochs and recipe.lora is None:
        raise PlatformError("keep_epochs is for LoRA: weights and moments of a full fine-tuning would fill the disk")
    # Before conversations are read, and before Trainer's arguments, after which DeepSpeed splits all loaded weights.
    targets = lora_targets(Path(spec.base_model_folder), recipe.lora) if recipe.lora else []
    # Before any model is loaded, because DeepSpeed ZeRO-3 splits weights while they are read.
    arguments = training_arguments(
        folder,
        global_batch=recipe.global_batch,
        batch_per_device=recipe.batch_per_device,
        seed=spec.seed,
        save_steps=recipe.save_steps,
        precision=spec.precision,
        optimizer=recipe.optimizer,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
    )
    with arguments.main_process_first(local=False):
        complete = open_job_folder(folder, _identity(spec))
    if not complete:
        base = Path(spec.base_model_folder)
        renderer = load_renderer(base, spec.text)
        try_saving(base, lambda scratch: save_tokenizer(base, scratch, renderer.chat_template))
        rows = _rows(spec, renderer)
        if not is_round:
            _refuse_one_step(spec, rows)
        snapshots = EpochSnapshots(folder, base, renderer.chat_template)
        callbacks: list[TrainerCallback] = [snapshots] if spec.keep_epochs else []
        outcome = train(
            _model(spec, targets, renderer),
            rows.kept,
            arguments,
            label="Fine-tuning",
            callbacks=callbacks,
            save_minutes=recipe.save_minutes,
            sharded=recipe.shard and process_count() > 1,
        )
        if arguments.should_save:
            save_tokenizer(base, folder, renderer.chat_template)
            write_manifest(folder, _manifest(spec, folder, renderer, rows, outcome), temporary=[CHECKPOINTS])
    if arguments.should_save:
        remove_checkpoints(folder)
    return _result(folder)


def _result(folder: Path) -> dict[str, Any]:
    return read_manifest(folder) or {}


def _identity(spec: FineTuningSpec) -> dict[str, Any]:
    """What decides the trained weights: the spec, with the content behind its paths instead of the paths."""
    return {
        "recipe": recipe_identity(spec),
        "base_model": model_identity(Path(spec.base_model_folder)),
        "conversations": file_identity(Path(spec.train_file)),
        "template": text_identity(Path(spec.base_model_folder), spec.text),
        "code_version": VERSIONS["fine_tuning"],
    }


def recipe_identity(spec: FineTuningSpec) -> dict[str, Any]:
    """What decides the trained weights besides model and conversations."""
    recipe = spec.content("lora")
    lora = spec.recipe.lora and spec.recipe.lora.content()
    adapter = _LORA_OF_FULL if lora is None else {f"lora_{name}": value for name, value in lora.items()}
    return {**recipe, "method": "full" if lora is None else "lora", **adapter}


def _rows(spec: FineTuningSpec, renderer: Renderer) -> Rows:
    """The conversations as training rows."""
    recipe = spec.recipe
    conversations = read_conversations(Path(spec.train_file))
    rows = tokenize_rows(conversations, renderer, recipe.max_length, recipe.cut, recipe.answers)
    if not rows.kept:
        raise PlatformError(
            f"{spec.train_file}: no answer token within max_length {recipe.max_length}; raise the recipe's "
            "max_length in the profile (`fine_tuning`, or `less: training`), or set its `cut` to shared"
        )
    return rows


def _refuse_one_step(spec: FineTuningSpec, rows: Rows) -> None:
    """Raise PlatformError if the only step has a learning rate of 0, so that the checkpoint would be the base model."""
    recipe = spec.recipe
    if recipe.epochs == 1 and len(rows.kept) <= recipe.global_batch and recipe.warmup_ratio > 0:
        raise PlatformError(
            f"{spec.train_file}: {len(rows.kept)} conversations are one training step, and the learning rate rises "
            "from 0 there, so that the model would not change; lower the recipe's global_batch, raise its epochs, or "
            "set its `warmup_ratio: 0` in the profile (`fine_tuning`, or `less: training`)"
        )


def _model(spec: FineTuningSpec, targets: list[str], renderer: Renderer) -> PreTrainedModel:
    """The model to train, on the CPU; Trainer moves it to this process's device.

    Args:
        spec: what to train and how.
        targets: the layers that get an adapter.
        renderer: has the tokens that end an answer.
    """
    lora = spec.recipe.lora
    dtype = spec.precision if lora or spec.recipe.optimizer == "adamw_8bit" else "float32"
    model, _ = load_model(Path(spec.base_model_folder), dtype, device="cpu")
    assert model.generation_config is not None
    # It is saved with full weights, so that servers stop where the model ends an answer.
    model.generation_config.eos_token_id = renderer.generation_end()
    if spec.recipe.gradient_checkpointing:
        # The re-entrant kind finds no gradients if the base model is frozen.
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if lora is None:
        return model
    # peft draws the adapter's initial weights from the global random state.
    set_seed(spec.seed)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
    )
    adapted = get_peft_model(model, config)
    if spec.keep_epochs:
        check_samples_apart(cast(PeftModel, adapted))
    # A PeftModel supports everything that is used here of the model that it wraps.
    return cast(PreTrainedModel, adapted)


def _manifest(spec: FineTuningSpec, folder: Path, renderer: Renderer, rows: Rows, outcome: Outcome) -> dict[str, Any]:
    """The finished job's manifest."""
    adapter = base_entry(folder, Path(spec.base_model_folder)) if spec.recipe.lora else {}
    return {
        **adapter,
        **asdict(outcome),
        "spec": spec.model_dump(mode="json"),
        "rows": len(rows.kept),
        "dropped_rows": rows.dropped,
        "truncated_rows": rows.truncated,
        "answer_tokens_cut": rows.targets_cut,
        "tokens_trained": spec.recipe.epochs * sum(len(row.ids) for row in rows.kept),
        "answer_tokens_trained": spec.recipe.epochs * sum(int(row.is_target.sum()) for row in rows.kept),
        "precision": spec.precision,
        "devices": process_count(),
        "template_hash": renderer.identity,
        ENDS_KEY: renderer.generation_end(),
        "versions": package_versions(),
        "weights_hash": weights_hash(folder),
    }


FINE_TUNING = Job("fine_tuning", fine_tune, FineTuningSpec, _identity, _result, several_processes=True)
