"""The renderer of a model folder: how conversations become text for the model in it."""

from pathlib import Path

from selection_platform.configuration.text_settings import PAPER, TextSettings
from selection_platform.models.loading import load_tokenizer
from selection_platform.text.renderer import Renderer
from selection_platform.text.rendering import template_hash
from selection_platform.text.template_choice import make_renderer


def load_renderer(folder: Path, text: TextSettings) -> Renderer:
    """The renderer of a folder's tokenizer.

    Raises:
        UnreadableModel: the folder has no tokenizer that can be used.
        UnusableTemplate: the template cannot be used with it.
    """
    return make_renderer(load_tokenizer(folder), text)


def text_identity(folder: Path, text: TextSettings) -> str:
    """The text's part of a job's identity: a hash of how the renderer encodes fixed conversations."""
    # The paper's text is always the same, so its tokenizer need not be read.
    return template_hash() if text == PAPER else load_renderer(folder, text).identity
