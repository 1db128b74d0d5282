"""Reads a model folder: full weights, or a LoRA adapter whose manifest names its base model's folder.

Nothing in a folder is executed: weights are only safetensors, and custom code of a model is not trusted.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from selection_platform.errors import PlatformError
from selection_platform.job.compute import count_compute
from selection_platform.job.folder import MANIFEST, read_manifest, whole_file
from selection_platform.job.integrity import check_files
from selection_platform.models.dropped_weights import weights_dropped
from selection_platform.text.rendering import CHAT_TEMPLATE

# The platform reports progress itself; a bar for each file read or written hides it.
logging.disable_progress_bar()
# peft asks for it wherever it adds an adapter to a model.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)

ADAPTER_CONFIG = "adapter_config.json"
BASE_FOLDER_KEY = "base_model_folder"
"""Manifest entry of an adapter: its base model's folder, relative to the adapter's own folder."""

ENDS_KEY = "ends"
"""Manifest entry of a trained model: the token, or tokens, at which its generation stops."""

_WEIGHTS_INDEX = "model.safetensors.index.json"
_FIXES = {
    "model": "fetch the model again, or name another",
    "tokenizer": "fetch the model again, with its tokenizer.json, or name another",
}
_IMPLEMENTATION = ("attn_implementation", "experts_implementation")
_ATTENTION = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "grouped_mm", "batched_mm")
"""Implementations in transformers itself, or in a package that somebody installed."""
_RAISED_FOR_BROKEN = {
    "model": (
        ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError, StrictDataclassError,
    ),
    # tokenizers, which is written in Rust, raises bare exceptions, and panics.
    "tokenizer": (Exception,),
}  # fmt: skip
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class UnreadableModel(PlatformError):
    """A folder without a model that can be loaded safely."""


class UnsavableModel(PlatformError):
    """A model that can be loaded, but could not be saved after training."""


class PublishedSettings(GenerationConfig):
    """A model's own generation settings, which transformers saves even if it warned about them when it read them.

    It checks settings that have changed, such as the end token here, and refuses to save a temperature without
    do_sample, which many models on the hub have. Without the temperature, servers would answer differently; with
    do_sample, transformers would.
    """

    def validate(self, strict: bool = False, *arguments: Any, **options: Any) -> None:
        """Refuse settings that no generation could use, and only warn about others."""
        super().validate(False, *arguments, **options)


def load_model(
    folder: Path, dtype: str = "float32", device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in evaluation mode, and its tokenizer.

    An adapter is merged into its base model, so the result is always a plain model.

    Args:
        folder: a folder with safetensors weights and a tokenizer.
        dtype: number type of the weights in memory: "float32", "bfloat16" or "float16".
        device: where the weights go; None means the GPU if there is one, else the CPU.

    Raises:
        UnreadableModel: weights, configuration or tokenizer are missing or broken, or do not belong together; or an
            adapter's base model is not found.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    # torch types Module.to as a wrapped callable, which pyright cannot bind to a PreTrainedModel.
    model = cast(PreTrainedModel, torch.nn.Module.to(read_model(folder, dtype), device))
    tokenizer = load_tokenizer(folder)
    model.generation_config.__class__ = PublishedSettings
    # Some models' generation stops at another token than the one that ends an answer here.
    model.generation_config.eos_token_id = (read_manifest(folder) or {}).get(ENDS_KEY, tokenizer.eos_token_id)
    count_compute(model)
    return model.eval(), tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer. `text.template_choice.make_renderer` makes a renderer from it.

    A tokenizer without a padding token pads with its end-of-sequence token, but only in memory: the saved files do not
    change. So only the attention mask tells padding from text, never the id.

    Raises:
        UnreadableModel: there is none that can be read, or it has no end-of-sequence token, with which every answer
            must end.
        ChangedFile: the folder's files are not what was written.
    """
    check_files(folder)
    with _named(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.eos_token_id is None:
        raise UnreadableModel(f"{folder}: the tokenizer has no eos_token; name one in tokenizer_config.json")
    if not isinstance(tokenizer.model_max_length, int | float):
        raise UnreadableModel(
            f"{folder / 'tokenizer_config.json'}: model_max_length is {tokenizer.model_max_length!r}; write a number"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    # Callers cut texts to the length that they need, so the warning would be wrong.
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return tokenizer


def save_tokenizer(source: Path, folder: Path, chat_template: str) -> None:
    """Copy the tokenizer of the model folder `source` into `folder`, with another chat template."""
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)


def read_config(folder: Path) -> PreTrainedConfig:
    """The configuration of the model in a folder.

    Raises:
        UnreadableModel: there is none that can be read.
    """
    _check_kernels(folder / "config.json")
    with _named(folder, "model"):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _check_kernels(path: Path) -> None:
    """Raise UnreadableModel where a configuration has transformers fetch code from the hub to compute attention with.

    It would run without a question, whatever is said of the model's own code.
    """
    for key, value in _named_kernels(_described(path)):
        raise UnreadableModel(f"{path}: {key} is {value!r}, which is code of its own, and that is never run; take it "
                              "out, or write sdpa")  # fmt: skip


def _described(path: Path) -> Any:
    """The content of a JSON file; None where there is none, and where transformers says what is wrong with it."""
    try:
        return json.loads(path.read_bytes()) if path.is_file() else None
    except (ValueError, RecursionError):
        return None


def _named_kernels(content: Any) -> Iterator[tuple[str, Any]]:
    """What a configuration, or one inside it, names to compute with that is not transformers' own."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict) and not key.strip("_").startswith(_IMPLEMENTATION):
            yield from _named_kernels(value)
        elif key.strip("_").startswith(_IMPLEMENTATION):
            named = value.values() if isinstance(value, dict) else [value]
            yield from ((key, each) for each in named if each is not None and each not in _ATTENTION)


def check_savable(folder: Path) -> None:
    """Check, without reading its weights, that a model could be saved after training.

    Raises:
        UnsavableModel: it could not.
        UnreadableModel: configuration or tokenizer cannot be read.
    """
    try_saving(folder, read_config(folder).save_pretrained)
    try_saving(folder, lambda scratch: save_tokenizer(folder, scratch, CHAT_TEMPLATE))


def try_saving(base: Path | str, save: Callable[[Path], object]) -> None:
    """Call `save` with a temporary folder, to check that it works.

    Args:
        base: the model that is trained, for the message.
        save: writes the result of a training, apart from its weights.

    Raises:
        UnsavableModel: it failed.
    """
    try:
        with TemporaryDirectory() as scratch:
            save(Path(scratch))
    except OSError:
        raise
    # Libraries raise all kinds of exceptions, and each would come again after the training.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UnsavableModel(
            f"{base}: this model could not be saved after training ({reason}); correct its config.json, "
            "generation_config.json or tokenizer_config.json, or name another model"
        ) from error


def sort_adapter_config(folder: Path) -> None:
    """Sort the names of an adapter's layers, if the folder has an adapter.

    peft keeps them in a set and writes them in the set's order, which differs between processes. An adapter that is
    trained again would look different.
    """
    file = folder / ADAPTER_CONFIG
    if not file.exists():
        return
    config: dict[str, Any] = json.loads(file.read_text())
    if isinstance(config["target_modules"], list):
        config["target_modules"] = sorted(config["target_modules"])
        with whole_file(file) as temporary:
            temporary.write_text(json.dumps(config, indent=2, sort_keys=True))


def base_entry(adapter_folder: Path, base: Path) -> dict[str, str]:
    """The entry of an adapter's manifest for its base model's folder. Both folders can be moved together.

    Links in either path are not followed, because their targets do not move with the home.
    """
    return {BASE_FOLDER_KEY: os.path.relpath(base.absolute(), adapter_folder.absolute())}


def base_model_folder(adapter_folder: Path) -> Path:
    """The base model's folder that the adapter's manifest names.

    Raises:
        UnreadableModel: the manifest is missing or names no base model, or the folder does not exist.
    """
    manifest = read_manifest(adapter_folder) or {}
    named = manifest.get(BASE_FOLDER_KEY)
    if named is None:
        raise UnreadableModel(f"{adapter_folder / MANIFEST}: missing, or without {BASE_FOLDER_KEY}; train it again")
    # By the path itself, and with links resolved: only the adapter's folder may be linked.
    starts = adapter_folder.absolute(), adapter_folder.resolve()
    bases = [Path(os.path.normpath(start / named)) for start in starts]
    for base in bases:
        if base.is_dir():
            return base
    raise UnreadableModel(f"{adapter_folder}: its base model {bases[0]} is missing; put it back, or train again")


def read_model(folder: Path, dtype: str, config: PreTrainedConfig | None = None) -> PreTrainedModel:
    """The model of a folder, on the CPU.

    Args:
        folder: a folder with safetensors weights.
        dtype: number type of the weights in memory.
        config: replaces the folder's own, for example with fewer layers.

    Raises:
        UnreadableModel: weights or configuration are missing or broken, or do not belong together.
        ChangedFile: the folder's files are not what was written.
    """
    check_files(folder)
    check_weights(folder)
    if dtype not in _DTYPES:
        raise PlatformError(f"dtype {dtype!r}: expected one of {', '.join(_DTYPES)}")
    if (folder / ADAPTER_CONFIG).exists():
        return _merged_adapter(folder, dtype)
    _check_kernels(folder / "config.json")
    with _named(folder, "model"):
        # Mismatches are allowed here, and reported with the folder's name below, like missing weights.
        loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_DTYPES[dtype],
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **({} if config is None else {"config": config}),
        )
    model, info = cast(tuple[PreTrainedModel, dict[str, Any]], loaded)
    mismatched = [name for name, *_ in info["mismatched_keys"]]
    for fault, names in (("are missing", info["missing_keys"]), ("have another shape than config.json", mismatched)):
        if names:
            # transformers would continue with random numbers instead.
            raise UnreadableModel(
                f"{folder}: {len(names)} of the model's weights {fault}, {min(names)} the first; {_FIXES['model']}"
            )
    return model


@contextmanager
def _named(folder: Path, part: str) -> Iterator[None]:
    """Turn exceptions of transformers for a broken folder into one line with the folder's name."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, _RAISED_FOR_BROKEN[part]) and type(error).__name__ != "PanicException":
            raise
        lines, fix = str(error).strip().split("\n"), _FIXES[part]
        # Of a setting that is wrong, the first line names it and the second says why.
        reason = " ".join(" ".join(lines[: 2 if isinstance(error, StrictDataclassError) else 1]).split()).rstrip(": ")
        if "custom code" in reason:
            reason, fix = "it needs custom code, which is never run", "name one that transformers knows"
        raise UnreadableModel(f"{folder}: the {part} cannot be read ({reason}); {fix}") from error


def _merged_adapter(folder: Path, dtype: str) -> PreTrainedModel:
    """The base model with the adapter's weights added to its own, on the CPU."""
    from peft import PeftModel

    base = read_model(base_model_folder(folder), dtype)
    return cast(PreTrainedModel, PeftModel.from_pretrained(base, str(folder)).merge_and_unload())  # pyright: ignore[reportCallIssue]


def check_weights(folder: Path) -> None:
    """Raise UnreadableModel unless the folder has complete safetensors weights."""
    if not folder.is_dir():
        raise UnreadableModel(f"{folder}: no such folder")
    if weights_dropped(folder):
        raise UnreadableModel(
            f"{folder}: its weights were deleted (`checkpoints: keep` in the profile); train it again with "
            "`selection-platform refresh EXPERIMENT --rebuild`"
        )
    files = sorted(folder.glob("*.safetensors"))
    if files:
        _check_files(folder, files)
        return
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise UnreadableModel(
            f"{folder}: only pickled weights ({', '.join(pickles)}), which can run code when loaded; "
            "convert them to safetensors, or pin a revision that has them"
        )
    raise UnreadableModel(f"{folder}: no *.safetensors weights")


def _check_files(folder: Path, files: list[Path]) -> None:
    for path in files:
        try:
            # Reads the header, and compares the file's length with it.
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise UnreadableModel(f"{path}: not a complete safetensors file ({error}); fetch it again") from error
    index = folder / _WEIGHTS_INDEX
    if index.exists():
        named = _named_shards(index)
        absent = sorted(named - {path.name for path in files})
        if absent:
            raise UnreadableModel(f"{folder}: {', '.join(absent)} of {index.name} is missing; fetch the model again")


def _named_shards(index: Path) -> set[str]:
    """The files that an index of weights names.

    Raises:
        UnreadableModel: it is not such an index.
    """
    content = _described(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise UnreadableModel(f"{index}: does not say which weights are in which file; fetch it again")
    return set(places.values())
