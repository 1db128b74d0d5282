"""The part of a profile that says how conversations become text."""

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from selection_platform.configuration.base import FOLDER, Settings

TEMPLATE_NAMES = ("paper", "model", "chatml")
RESERVED_ARGUMENTS = ("messages", "add_generation_prompt", "bos_token", "eos_token", "tools", "documents")
"""Names that the renderer itself passes to every chat template."""

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


class TextSettings(Settings):
    """How conversations become text: the same for scoring, training, evaluation and the tokenizer of a checkpoint."""

    # For a file, this becomes its text: jobs on other machines need no file, and the path does not count as content.
    template: str | None = Field(
        default=None,
        description="`paper`: `Human: ...`, `Assistant: ...`, as the paper trained. `model`: the tokenizer's own chat "
        "template. `chatml`: ChatML, as Qwen and SmolLM2 have it. Or a file that ends in `.jinja`: a Jinja chat "
        "template; a relative path starts from the profile's folder. If left out: the tokenizer's own if it has one, "
        "else `paper`.",
    )
    bos: Literal["auto", "never", "always"] = Field(
        default="auto",
        description="The beginning-of-sequence token. `auto`: as the template writes it, or if it writes none, as the "
        "tokenizer adds it; never twice. `never` leaves it out, `always` puts it there.",
    )
    template_arguments: dict[str, str | bool | int | float] = Field(
        default={}, description="Values for names that the template asks for, such as `enable_thinking: false`."
    )
    control_tokens: bool = Field(
        default=False,
        description="Let the text of a special token inside a message, such as `</s>`, become the token.",
    )

    @field_validator("template")
    @classmethod
    def _read_file(cls, given: str | None, info: ValidationInfo) -> str | None:
        if given is None or given in TEMPLATE_NAMES or is_jinja(given):
            return given
        if not given.endswith(".jinja"):
            names = ", ".join(TEMPLATE_NAMES)
            raise ValueError(f"{given!r} is not a template; write one of {names}, or a file that ends in .jinja")
        path = Path((info.context or {}).get(FOLDER) or "") / Path(given).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read ({error}); name a file with a Jinja chat template") from error
        if not is_jinja(text):
            raise ValueError(f"{path} has neither {{{{ nor {{%; name a file with a Jinja chat template")
        return text

    @field_validator("template_arguments")
    @classmethod
    def _names(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if not _IDENTIFIER.fullmatch(name) or name in RESERVED_ARGUMENTS:
                raise ValueError(f"{name!r} cannot be an argument; leave it out, or name it as the template does")
        return given

    @model_validator(mode="after")
    def _paper_takes_none(self) -> "TextSettings":
        if self.template == "paper" and self.template_arguments:
            raise ValueError("template_arguments: `template: paper` takes none; leave out one of the two")
        return self

    @property
    def template_name(self) -> str | None:
        """The template's name in records; a file is named by a hash of its content."""
        if self.template is None or not is_jinja(self.template):
            return self.template
        return f"file {hashlib.sha256(self.template.encode()).hexdigest()[:16]}"

    def _settings(self, *, speed: bool) -> dict[str, Any]:
        values = super()._settings(speed=speed)
        return {**values, "template": self.template_name} if "template" in values else values


def is_jinja(text: str) -> bool:
    """Whether it is the text of a Jinja template, and not a name."""
    return "{{" in text or "{%" in text


def overridden(general: TextSettings, special: TextSettings) -> TextSettings:
    """The general settings, overridden by those that `special` sets."""
    return general.model_copy(update={name: getattr(special, name) for name in special.model_fields_set})


PAPER = TextSettings(template="paper", bos="never")
"""As the paper trained: its text, and no token at the beginning."""
