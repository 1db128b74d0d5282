"""What can be known of a model without its weights: its tokenizer, and how long a text it takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from selection_platform.configuration.settings import ModelSettings
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.models.base_model import PACKAGED_MODELS, packaged_file
from selection_platform.models.files import DESCRIPTION_FILES
from selection_platform.models.loading import load_tokenizer
from selection_platform.text.conversation import Message
from selection_platform.text.rendering import Piece
from selection_platform.text.template_choice import make_renderer


@dataclass(frozen=True)
class ModelLook:
    """A model from outside.

    Attributes:
        count_tokens: of a conversation, as it is trained on.
        pieces: of a conversation, as the model sees it.
        positions: the longest sequence that it takes, in tokens; None where its configuration does not say.
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
        gguf = packaged_file(PACKAGED_MODELS[settings.package])
        where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name, "local_files_only": True}
        return _look(AutoTokenizer.from_pretrained(**where), AutoConfig.from_pretrained(**where), text)
    folder = settings.folder or _fetch(settings.hub or "", settings.revision or "")
    return _look(load_tokenizer(folder), AutoConfig.from_pretrained(folder, local_files_only=True), text)


def positions_of(folder: Path) -> int | None:
    """The longest sequence that a model takes, in tokens; None where its configuration does not say."""
    return _positions(AutoConfig.from_pretrained(folder, local_files_only=True))


def _positions(config: Any) -> int | None:
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _look(tokenizer: Any, config: object, text: TextSettings) -> ModelLook:
    renderer = make_renderer(tokenizer, text)
    return ModelLook(lambda messages: len(renderer.tokenize(messages).ids), renderer.pieces, _positions(config))


def _fetch(hub: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(hub, revision=revision, allow_patterns=list(DESCRIPTION_FILES), ignore_patterns=["*/*"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise PlatformError(
            f"--model: {hub} at {revision} cannot be fetched ({type(error).__name__}); check the id, the commit, "
            "the network, and for a gated model that you accepted its terms and ran `hf auth login`"
        ) from error
