"""Inspects a model without its weights: its tokenizer, and its longest sequence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig

from selection_platform.configuration.settings import ModelSettings
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.data_packages import packaged_file
from selection_platform.models.base_model import PACKAGED_MODELS
from selection_platform.models.files import DESCRIPTION_FILES
from selection_platform.models.hub import fetch_files
from selection_platform.models.loading import load_tokenizer, read_config
from selection_platform.models.supported import check_description, positions
from selection_platform.text.conversation import Message
from selection_platform.text.rendering import Piece
from selection_platform.text.template_choice import make_renderer


@dataclass(frozen=True)
class ModelLook:
    """What is known about a model without its weights.

    Attributes:
        count_tokens: counts the tokens of a conversation, rendered for training.
        pieces: the pieces of a conversation, as the model sees it.
        positions: the longest sequence that it takes, in tokens; None if its configuration does not say.
    """

    count_tokens: Callable[[Sequence[Message]], int]
    pieces: Callable[[Sequence[Message]], list[Piece]]
    positions: int | None


def look_at(settings: ModelSettings, text: TextSettings) -> ModelLook:
    """Fetch a model's tokenizer and configuration.

    Raises:
        PlatformError: they cannot be fetched or read, or the template cannot be used with the tokenizer.
    """
    if settings.package is not None:
        source = PACKAGED_MODELS[settings.package]
        gguf = packaged_file(source.package, source.file)
        where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name, "local_files_only": True}
        return _look(AutoTokenizer.from_pretrained(**where), AutoConfig.from_pretrained(**where), text)
    folder = settings.folder or fetch_files(settings.hub or "", settings.revision or "", DESCRIPTION_FILES)
    check_description(folder)
    return _look(load_tokenizer(folder), read_config(folder), text)


def positions_of(folder: Path) -> int | None:
    """The longest sequence that a model takes, in tokens; None if its configuration does not say."""
    return positions(read_config(folder))


def _look(tokenizer: Any, config: PreTrainedConfig, text: TextSettings) -> ModelLook:
    renderer = make_renderer(tokenizer, text)
    return ModelLook(lambda messages: len(renderer.tokenize(messages).ids), renderer.pieces, positions(config))
