"""Exports a model to a folder that plain transformers, peft and vLLM load without the platform.

These tools then run the model that was evaluated: weights in the evaluation's number type, the tokenizer with the chat
template that the model was trained with, greedy decoding up to the token that ends an answer.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import file_hash
from selection_platform.models.loading import (
    ADAPTER_CONFIG,
    base_model_folder,
    check_weights,
    load_model,
    save_tokenizer,
)
from selection_platform.models.provenance import parameter_count
from selection_platform.models.renderers import load_renderer
from selection_platform.text.conversation import Message
from selection_platform.text.numbers import in_words
from selection_platform.text.renderer import Renderer

RECORD = "export.json"
"""Lists the files that an export wrote, with their hashes. A later export overwrites these files and no others."""
CARD = "README.md"

_WRITER = "selection-platform export --model"
_BYTES = {"float32": 4, "bfloat16": 2}

PROBES: dict[str, tuple[Message, ...]] = {
    "a question": (Message("user", "What is 2 + 2?"),),
    "a system message": (Message("system", "Be short."), Message("user", "Hi!")),
    "blanks and line breaks at both ends": (Message("user", "  \nIs this code?\n\n    x = 1\n"),),
    "other scripts": (Message("user", "Grüße, 世界 🌍"),),
    "several turns": (Message("user", "Hi"), Message("assistant", "Hello there."), Message("user", "And now?")),
}
"""Prompts, by their special feature."""


@dataclass(frozen=True)
class ModelExport:
    """What to export.

    Attributes:
        source: folder of a checkpoint or a base model. An adapter is merged into its base model.
        dtype: number type of the weights: the one that the evaluation uses.
        text: how the evaluation renders conversations.
        trained: whether it is a checkpoint, whose tokenizer was saved with the template of its training.
        adapter: whether to write only the adapter, as it was trained, instead of the merged weights.
        base_name: the adapter's name for its base model: a hub id, or a name.
        base_revision: commit of that id.
    """

    source: Path
    dtype: str
    text: TextSettings
    trained: bool
    adapter: bool
    base_name: str
    base_revision: str | None


def check_model_place(folder: Path) -> None:
    """Check that an export would overwrite only an earlier export.

    Raises:
        PlatformError: a file in the folder was not written by an export, or its card has been edited.
    """
    if not folder.exists():
        return
    own = _own_files(folder)
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    for name, path in there.items():
        if name not in own and not (own and name == RECORD):
            raise PlatformError(
                f"--to: {path} was not written by an export, and is not overwritten; name another folder"
            )
    if CARD in there and file_hash(there[CARD]) != own[CARD]["sha256"]:
        raise PlatformError(f"--to: {there[CARD]} was changed since it was exported; move it, or name another folder")


def export_model(
    export: ModelExport, target: Path, card: Callable[[Path], str], tell: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Write a model into a separate folder.

    The folder is written under a temporary name and renamed, so that it is always complete. It replaces an earlier
    export.

    Args:
        export: what to export.
        target: the folder to write, after `check_model_place`.
        card: returns the text of the card, given the folder with all other files.
        tell: called with a description of each long step.

    Returns:
        The files that were written.

    Raises:
        PlatformError: the model has no adapter to export, or the disk has too little space.
        UnreadableModel: the source has no readable weights; they may have been deleted.
    """
    check_weights(export.source)
    if export.adapter and not (export.source / ADAPTER_CONFIG).exists():
        raise PlatformError("--adapter: the experiment's model has no adapter, only full weights; leave the option out")
    target = target.resolve()
    _check_room(export, target)
    renderer = load_renderer(export.source, export.text)
    partial, old = (target.with_name(f".{target.name}.{what}") for what in ("partial", "previous"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if export.adapter:
        _write_adapter(export, partial)
    else:
        _write_merged(export, renderer, partial, tell)
    _write_tokenizer(export, renderer, partial)
    (partial / CARD).write_text(card(partial), encoding="utf-8")
    record = {path.name: _look(path) for path in sorted(partial.iterdir())}
    text = json.dumps({"written_by": _WRITER, "files": record}, indent=2, ensure_ascii=False)
    (partial / RECORD).write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return [target / name for name in [*record, RECORD]]


def other_prompt_ids(folder: Path, text: TextSettings) -> list[str]:
    """The probes whose prompt has other token ids with the folder's own chat template than in the evaluation.

    The evaluation tokenises the paper's text message by message. In one text, characters can merge across messages.

    Args:
        folder: the folder of an export.
        text: how the evaluation renders conversations.
    """
    tokenizer, renderer = _plain_tokenizer(folder), load_renderer(folder, text)
    return [name for name, messages in PROBES.items() if chat_ids(tokenizer, messages) != renderer.prompt(messages).ids]


def chat_ids(tokenizer: PreTrainedTokenizerBase, messages: tuple[Message, ...]) -> list[int]:
    """Token ids of a prompt, as in transformers and servers."""
    records = [{"role": message.role, "content": message.content} for message in messages]
    ids: Any = tokenizer.apply_chat_template(records, add_generation_prompt=True, tokenize=True, return_dict=False)
    return ids


def _plain_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _write_merged(export: ModelExport, renderer: Renderer, folder: Path, tell: Callable[[str], None]) -> None:
    tell("reads the weights")
    model, _ = load_model(export.source, export.dtype, device="cpu")
    tell(f"writes {in_words(model.num_parameters() * _BYTES[export.dtype])} of weights")
    write_weights(model, renderer, folder)


def write_weights(model: PreTrainedModel, renderer: Renderer, folder: Path) -> None:
    """Write a loaded model, with settings to generate as in the evaluation."""
    tokenizer = renderer.tokenizer
    # A base model's own temperature or repetition penalty would give other answers.
    model.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=renderer.generation_end(),
        pad_token_id=tokenizer.eos_token_id,
    )
    model.save_pretrained(folder)


def _write_adapter(export: ModelExport, folder: Path) -> None:
    config = json.loads((export.source / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    # The path of the base model on this machine means nothing on another one.
    config |= {"base_model_name_or_path": export.base_name, "revision": export.base_revision}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for file in sorted(export.source.glob("*.safetensors")):
        shutil.copyfile(file, folder / file.name)


def _write_tokenizer(export: ModelExport, renderer: Renderer, folder: Path) -> None:
    if export.trained:
        _plain_tokenizer(export.source).save_pretrained(folder)
    else:
        save_tokenizer(export.source, folder, renderer.chat_template)


def _check_room(export: ModelExport, target: Path) -> None:
    has_adapter = (export.source / ADAPTER_CONFIG).exists()
    whole = base_model_folder(export.source) if has_adapter and not export.adapter else export.source
    needed = parameter_count(whole) * _BYTES[export.dtype]
    place = next(parent for parent in target.parents if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise PlatformError(
            f"--to: {in_words(free)} are free on the disk at {place}, and the model needs {in_words(needed)}; free "
            "some space, or name a folder on another disk"
        )


def _own_files(folder: Path) -> dict[str, dict[str, Any]]:
    """The files that an export wrote into a folder, by name; empty if there was no export."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return record["files"] if isinstance(record, dict) and record.get("written_by") == _WRITER else {}


def _look(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_hash(path)}
