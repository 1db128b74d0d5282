"""Chooses the template for a tokenizer: the one in the profile's `text`, or else the tokenizer's own."""

from importlib.resources import files
from typing import Any

from selection_platform.configuration.text_settings import TextSettings
from selection_platform.text.chat_template import ChatTemplate, Prologue
from selection_platform.text.paper_text import PaperText, is_papers
from selection_platform.text.renderer import Renderer, UnusableTemplate


def make_renderer(tokenizer: Any, text: TextSettings) -> Renderer:
    """The renderer of a tokenizer, as `models.loading.load_tokenizer` returns it.

    Raises:
        UnusableTemplate: the template, or the tokenizer with it, cannot be used; the message says which and why.
    """
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UnusableTemplate(
            f"{tokenizer.name_or_path}: the tokenizer has no tokenizer.json; save it with a fast tokenizer of "
            "transformers, or name another model"
        )
    if text.bos == "always" and tokenizer.bos_token_id is None:
        raise UnusableTemplate(
            f"{tokenizer.name_or_path}: `bos: always`, but the tokenizer has no bos_token; leave it out"
        )
    own = own_template(tokenizer)
    name = text.template_name or ("model" if own else "paper")
    wants_bos = text.bos == "always" or (text.bos == "auto" and _adds_bos(tokenizer))
    if name == "paper" or (name == "model" and is_papers(own)):
        return PaperText(tokenizer, bos=wants_bos, control_tokens=text.control_tokens)
    if name == "model" and own is None:
        raise UnusableTemplate(
            f"{tokenizer.name_or_path}: `template: model`, but the tokenizer has no chat template; write "
            "`template: paper`, `chatml`, or name a file"
        )
    template = {"model": own, "chatml": chatml()}.get(name) or text.template or ""

    def renderer(bos: bool | None) -> ChatTemplate:
        prologue = Prologue(text.template_arguments, bos)
        return ChatTemplate(tokenizer, name, template, prologue, control_tokens=text.control_tokens)

    if text.bos == "never":
        return renderer(False)
    as_written = renderer(None)
    return renderer(True) if wants_bos and not as_written.begins_with_bos else as_written


def own_template(tokenizer: Any) -> str | None:
    """A tokenizer's chat template; if it has several, the one for conversations without tools."""
    own = tokenizer.chat_template
    return own.get("default") if isinstance(own, dict) else own


def chatml() -> str:
    """The template `chatml`."""
    return files("selection_platform.text").joinpath("templates/chatml.jinja").read_text(encoding="utf-8")


def _adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer itself adds the beginning-of-sequence token."""
    return tokenizer.bos_token_id is not None and tokenizer("x").input_ids[:1] == [tokenizer.bos_token_id]
