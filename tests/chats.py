"""A chat model on an engine of this process."""

from transformers import PreTrainedModel

from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine import TransformersEngine
from selection_platform.text.renderer import Renderer


def chat_of(model: PreTrainedModel, renderer: Renderer, batch_size: int) -> ChatModel:
    """A chat model that transformers answers for."""
    return ChatModel(TransformersEngine(model, renderer, batch_size), renderer)
