"""Writes a selection as data and configuration for three trainers: LLaMA-Factory, axolotl and TRL.

Each gets the conversations as rendered text, in segments that are trained on and segments that are not. So a model that
is trained elsewhere reads the same text as in our own training and evaluation, for any template, and answers that are
not trained on need no setting of the trainer. The recipe is the profile's, in the trainer's settings.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import yaml

from selection_platform.configuration.settings import FineTuningSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file
from selection_platform.job.progress import progress
from selection_platform.report.formats import TrainerFormat
from selection_platform.text.conversation import Message, to_messages
from selection_platform.text.renderer import Renderer

DATA = "train.jsonl"
OUTPUT = "output"
"""Folder for the trainer's model, inside its own folder."""

_TRL_SCRIPT = Path(__file__).with_name("train_with_trl.py")
_HEAD = """\
# Written by selection-platform for {tool}. In this folder: {command}
# For one GPU. On several, divide gradient_accumulation_steps by their number: a step has {batch} conversations.
"""


class Segment(NamedTuple):
    """A segment of rendered text.

    Attributes:
        label: whether it is trained on.
        text: the text; for an answer, with the end of its turn.
    """

    label: bool
    text: str


@dataclass(frozen=True)
class Training:
    """The training of a model on a selection.

    Attributes:
        model: the base model: its id on the hub, or a folder.
        revision: commit of the id on the hub.
        renderer: renderer of the base model.
        recipe: the profile's recipe.
        seed: seed of the experiment.
    """

    model: str
    revision: str | None
    renderer: Renderer
    recipe: FineTuningSettings
    seed: int


@dataclass
class Written:
    """The files for one trainer, and counts of their content.

    Attributes:
        trainer: the trainer.
        files: the written paths, in order.
        rows: number of conversations.
        answers: number of segments that are trained on.
        untrained: number of conversations with answers that are not trained on.
        other_ids: number of conversations with other token ids in the trainer than in our own training.
        cut: number of conversations longer than the recipe's `max_length`.
    """

    trainer: TrainerFormat
    files: list[Path] = field(default_factory=list)
    rows: int = 0
    answers: int = 0
    untrained: int = 0
    other_ids: int = 0
    cut: int = 0

    @property
    def note(self) -> str:
        """The card's sentences about it."""
        note = f"{self.rows:,} conversations with {self.answers:,} answers that are trained on."
        if self.untrained:
            note += f" {self.untrained:,} also have answers that are only context."
        if self.cut:
            note += f" {self.cut:,} are longer than the recipe's `max_length`: {_CUT[self.trainer]}"
        same = "all" if not self.other_ids else f"all but {self.other_ids:,}"
        return f"{note} The token ids of {same} are the same as in selection-platform's own training."


_CUT: Mapping[TrainerFormat, str] = {
    "llamafactory": "LLaMA-Factory cuts each turn's question and answer in proportion.",
    "axolotl": "axolotl cuts the end.",
    "trl": "TRL cuts the end.",
}


def segments(messages: Sequence[Message], renderer: Renderer) -> list[Segment]:
    """A conversation as rendered text. Each segment is tokenised separately."""
    return [Segment(piece.is_trained, piece.text) for piece in renderer.pieces(messages)]


def in_turns(of: Iterable[Segment]) -> list[dict[str, str]]:
    """Segments as turns of a user, with everything that is not trained on, and an assistant."""
    turns: list[dict[str, str]] = []
    for label, text in of:
        if turns and not label and turns[-1]["role"] == "user":
            turns[-1]["content"] += text
        else:
            turns.append({"role": "assistant" if label else "user", "content": text})
    return turns


def write_for_trainer(trainer: TrainerFormat, rows: pl.DataFrame, training: Training, folder: Path) -> Written:
    """Write data and configuration for one trainer.

    Args:
        trainer: the trainer.
        rows: the conversations, as in `export_selection`.
        training: the training of the model.
        folder: the folder to write to; other files in it stay unchanged.

    Raises:
        PlatformError: the recipe cannot be said in the trainer's words; nothing was written.
    """
    if training.recipe.optimizer != "adamw":
        raise PlatformError(
            f"fine_tuning.optimizer: {training.recipe.optimizer} is not what {trainer} would train with; "
            "set it to adamw, or leave out --format"
        )
    written = Written(trainer)
    with whole_file(folder / DATA) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in _records(written, rows, training):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    written.files.append(folder / DATA)
    for name, text in _CONFIGURATIONS[trainer](training).items():
        with whole_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.files.append(folder / name)
    return written


def _records(written: Written, rows: pl.DataFrame, training: Training) -> Iterator[dict[str, Any]]:
    """The records of the data file. Updates the counts in `written`."""
    renderer = training.renderer
    with progress(f"for {written.trainer}", rows.height, "conversations") as done:
        for row in rows.iter_rows(named=True):
            messages = to_messages(row["messages"], row.get("untrained"))
            of = segments(messages, renderer)
            turns = in_turns(of)
            texts = (
                [turn["content"] for turn in turns] if written.trainer == "llamafactory" else [each.text for each in of]
            )
            ids = [token for text in texts for token in renderer.tokenizer.encode(text, add_special_tokens=False)]
            own = renderer.tokenize(messages).ids
            written.rows += 1
            written.answers += sum(each.label for each in of)
            written.untrained += any(not message.trained for message in messages)
            written.other_ids += ids != own
            written.cut += len(own) > training.recipe.max_length
            yield (
                {"sample_id": row["sample_id"], "messages": turns}
                if written.trainer == "llamafactory"
                else {"sample_id": row["sample_id"], "segments": [each._asdict() for each in of]}
            )
            done.advance()


def _llamafactory(training: Training) -> dict[str, str]:
    """LLaMA-Factory 0.9: `src/llamafactory/hparams` and `data/README.md` of its repository."""
    recipe, lora = training.recipe, training.recipe.lora
    about_data = {
        "file_name": DATA,
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }
    settings = {
        "model_name_or_path": training.model,
        "model_revision": training.revision,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora" if lora else "full",
        "lora_rank": lora and lora.rank,
        "lora_alpha": lora and lora.alpha,
        "lora_dropout": lora and lora.dropout,
        "lora_target": lora and ",".join(lora.target_modules),
        "dataset": "selection",
        "dataset_dir": ".",
        # The text is already rendered; LLaMA-Factory's current `default` template differs from the paper's version.
        "template": "empty",
        "cutoff_len": recipe.max_length,
        "packing": False,
        "train_on_prompt": False,
        "mask_history": False,
        "output_dir": OUTPUT,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "optim": "adamw_torch_fused",
        **_common(recipe),
        "per_device_train_batch_size": recipe.batch_per_device,
        "num_train_epochs": recipe.epochs,
        "lr_scheduler_type": recipe.schedule,
        "bf16": True,
        "disable_gradient_checkpointing": not recipe.gradient_checkpointing,
        "seed": training.seed,
    }
    head = _head("LLaMA-Factory", "llamafactory-cli train train.yaml", recipe)
    return {
        "dataset_info.json": json.dumps({"selection": about_data}, indent=2) + "\n",
        "train.yaml": head + _yaml(settings),
    }


def _axolotl(training: Training) -> dict[str, str]:
    """Axolotl: the pages "Template-Free" and "Config Reference" of its documentation."""
    recipe, lora = training.recipe, training.recipe.lora
    settings = {
        "base_model": training.model,
        "revision_of_model": training.revision,
        "datasets": [{"path": DATA, "ds_type": "json", "type": "input_output"}],
        "train_on_inputs": False,
        "val_set_size": 0,
        "dataset_prepared_path": "prepared",
        "special_tokens": {"pad_token": training.renderer.tokenizer.pad_token},
        "sequence_len": recipe.max_length,
        "excess_length_strategy": "truncate",
        "sample_packing": False,
        "pad_to_sequence_len": False,
        "adapter": "lora" if lora else None,
        "lora_r": lora and lora.rank,
        "lora_alpha": lora and lora.alpha,
        "lora_dropout": lora and lora.dropout,
        "lora_target_modules": lora and list(lora.target_modules),
        "output_dir": OUTPUT,
        "save_strategy": "no",
        "logging_steps": 1,
        "optimizer": "adamw_torch_fused",
        **_common(recipe),
        "micro_batch_size": recipe.batch_per_device,
        "num_epochs": recipe.epochs,
        "lr_scheduler": recipe.schedule,
        "bf16": True,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "seed": training.seed,
    }
    return {"config.yaml": _head("axolotl", "axolotl train config.yaml", recipe) + _yaml(settings)}


def _trl(training: Training) -> dict[str, str]:
    """TRL: a script that tokenises the segments for its SFTTrainer, and the recipe that it reads."""
    recipe, lora = training.recipe, training.recipe.lora
    settings = {
        "model": training.model,
        "revision": training.revision,
        "lora": lora
        and {
            "r": lora.rank,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "target_modules": list(lora.target_modules),
        },
        "conversations_per_step": recipe.global_batch,
        "warmup_ratio": recipe.warmup_ratio,
        "training": {
            "output_dir": OUTPUT,
            "max_length": recipe.max_length,
            "packing": False,
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": "none",
            "optim": "adamw_torch_fused",
            "learning_rate": recipe.learning_rate,
            "weight_decay": recipe.weight_decay,
            "per_device_train_batch_size": recipe.batch_per_device,
            "num_train_epochs": recipe.epochs,
            "lr_scheduler_type": recipe.schedule,
            "gradient_checkpointing": recipe.gradient_checkpointing,
            "seed": training.seed,
        },
    }
    return {"recipe.yaml": _yaml(settings), "train.py": _TRL_SCRIPT.read_text(encoding="utf-8")}


_CONFIGURATIONS = {"llamafactory": _llamafactory, "axolotl": _axolotl, "trl": _trl}


def _common(recipe: FineTuningSettings) -> dict[str, Any]:
    """The settings with the same names in LLaMA-Factory and axolotl."""
    return {
        "learning_rate": recipe.learning_rate,
        "warmup_ratio": recipe.warmup_ratio,
        "weight_decay": recipe.weight_decay,
        "gradient_accumulation_steps": recipe.global_batch // recipe.batch_per_device,
    }


def _head(tool: str, command: str, recipe: FineTuningSettings) -> str:
    return _HEAD.format(tool=tool, command=command, batch=recipe.global_batch)


def _yaml(settings: Mapping[str, Any]) -> str:
    """Settings as YAML, without those that are None."""
    given = {name: value for name, value in settings.items() if value is not None}
    return yaml.dump(given, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes small numbers so that YAML 1.1 reads them as numbers: it would read Python's 7e-06 as text."""


def _number(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(float, _number)
