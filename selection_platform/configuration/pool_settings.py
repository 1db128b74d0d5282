"""The settings of a pool: the part of a profile that says where its conversations come from and which are kept."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from selection_platform.configuration.base import FOLDER, Later, Settings
from selection_platform.text.conversation import Role

Form = Literal["messages", "sharegpt", "alpaca", "pairs", "strings", "columns", "tree", "chatgpt"]
OutOfTurn = Literal["bad_row", "cut", "join"]
Package = Literal["instruct-mix", "sharegpt-en"]


def _check_scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("infinity and NaN equal nothing in JSON; write a number")
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ValueError("must be text, a number, true, false or null; put quotes around anything else")
    return value


# Checked before pydantic does: its message would explain every type of the union.
Scalar = Annotated[str | bool | int | float | None, BeforeValidator(_check_scalar)]


def _check_texts(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not value or not all(isinstance(text, str) for text in value):
        raise ValueError("must be text, or a list of texts")
    return tuple(value)


def _in_small_letters(roles: dict[str, Role]) -> dict[str, Role]:
    return {name.lower(): role for name, role in roles.items()}


Texts = Annotated[str | tuple[str, ...], BeforeValidator(_check_texts)]
"""One text, or several."""


class SourceSettings(Settings):
    """Where the rows come from. Name exactly one of hub, files and package; only hub and files may be combined."""

    hub: str | None = Field(
        default=None,
        description="Hugging Face dataset, such as teknium/OpenHermes-2.5, or a folder with the same layout.",
    )
    revision: str | None = Field(
        default=None, description="Commit, tag or branch of the hub repository. The newest commit if left out."
    )
    config: Texts | None = Field(
        default=None,
        description="Configuration of the hub dataset, or a list of them. The dataset's default if left out.",
    )
    split: Texts = Field(
        default="train", description="Split of the hub dataset: one, a list, `a+b` for both, or `all`."
    )
    files: Texts | None = Field(
        default=None,
        description="Path, folder or pattern (data/*.jsonl), or a list of them: .jsonl, .json, .csv, .tsv (each also "
        ".gz or .zst), .parquet, .arrow. With hub: which files of the dataset to read, instead of config and split.",
    )
    package: Package | None = Field(default=None, description="Pool of rows from installed Python packages.")

    # Kept beside the paths, which stay as written: a profile that was moved with its data is the same profile.
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> "SourceSettings":
        if sum(origin is not None for origin in (self.hub or self.files, self.package)) != 1:
            raise ValueError("name exactly one of hub, files and package")
        if self.hub is None and self.model_fields_set & {"revision", "config", "split"}:
            raise ValueError("revision, config and split belong to a hub source only")
        if self.hub is not None and self.files is not None and self.model_fields_set & {"config", "split"}:
            raise ValueError("with hub, files say which files are read; leave config and split out")
        # Relative paths start from the context's folder if it has one, else from the working folder.
        self._folder = Path((info.context or {}).get(FOLDER) or "")
        return self

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from: the profile's."""
        return self._folder

    @property
    def patterns(self) -> tuple[str, ...]:
        """What `files` says, as a tuple."""
        return _several(self.files)

    @property
    def configs(self) -> tuple[str, ...]:
        """What `config` says, as a tuple; empty for the dataset's default."""
        return _several(self.config)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that `split` names."""
        return tuple(name.strip() for text in _several(self.split) for name in text.split("+"))


def _several(texts: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if texts is None else (texts,) if isinstance(texts, str) else texts


class ColumnSettings(Settings):
    """Which fields hold the parts of a conversation. A part that is left out is looked for under its usual names."""

    prompt: str | None = Field(default=None, description="The question: text, or a list of messages that ends with it.")
    answer: str | None = Field(
        default=None, description="The answer: text, or a list of messages that begins with it. Needs `prompt`."
    )
    system: str | None = Field(
        default=None,
        description="System message; `system` or `system_prompt` if left out. Empty text: no field is read.",
    )
    context: str | None = Field(
        default=None,
        description="Material that follows the question, after a blank line; `context` or `input` if left out. Empty "
        "text: no field is read.",
    )
    history: str | None = Field(
        default=None,
        description="Earlier turns, as pairs of question and answer or as messages; `history` if left out. Empty text: "
        "no field is read.",
    )


class PoolSettings(Settings):
    """One pool. A row is kept if it passes every filter that is set."""

    source: SourceSettings = Field(description="Where the rows come from.")
    form: Form | None = Field(
        default=None,
        description="How a row holds its conversation; recognised from the rows if left out (see pools.md). messages: "
        "a list of {role, content}. sharegpt: a list of {from, value}. alpaca: instruction, input (optional), output, "
        "system (optional). pairs: a list of {input, output}. strings: a list of texts, the user's first. columns: the "
        "fields that `columns` names. tree: one message per row, with its parent's id. chatgpt: the tree of messages "
        "in `mapping` of ChatGPT's data export.",
    )
    column: str | None = Field(
        default=None,
        description="Field that holds the list of messages. If left out, it is recognised; with a `form`, it is "
        "`conversations` for sharegpt and strings, `conversation` for pairs, and `messages` for messages.",
    )
    columns: ColumnSettings = Field(
        default=ColumnSettings(), description="Fields that hold the parts of a conversation, by part."
    )
    source_column: str | None = Field(default=None, description="Field that names each row's source within the pool.")
    licence: str | None = Field(default=None, description="Licence of the whole pool, kept with each row.")

    where: dict[str, Scalar] = Field(
        default={}, description="Raw fields and the values they must equal, such as {language: English}."
    )
    language: str | None = Field(
        default=None,
        pattern=r"^[a-z]{2}$",
        description="ISO 639-1 code, such as en, of the language detected in the first user message.",
    )
    system: Literal["keep", "drop_message", "drop_row"] = Field(
        default="keep", description="What to do with a system message: keep it, leave it out, or drop the row."
    )
    min_turns: int | None = Field(default=None, ge=1, description="Fewest pairs of user and assistant message.")
    max_turns: int | None = Field(default=None, ge=1, description="Most pairs of user and assistant message.")
    min_characters: int | None = Field(default=None, ge=1, description="Fewest characters of all messages together.")
    max_characters: int | None = Field(default=None, ge=1, description="Most characters of all messages together.")
    min_answer_characters: int | None = Field(default=None, ge=1, description="Fewest characters of every answer.")
    decontaminate: bool = Field(
        default=True, description="Drop rows that share 13 consecutive words with a text of the benchmarks."
    )

    near_duplicates: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Drop rows that share so much with an earlier row, such as 0.8: the share of the runs of five "
        "words of either that both have, as MinHash estimates it. Rows with the same messages are always dropped.",
    )

    on_bad_row: Literal["stop", "skip"] = Field(
        default="stop",
        description="What to do with a row that cannot be read: stop and say where and why, or skip and count it.",
    )
    out_of_turn: OutOfTurn = Field(
        default="bad_row",
        description="What to do with a message whose role is not the next in turn: count the row as bad; cut the "
        "conversation before the message; or join the message to the one before if both have the same role, with a "
        "blank line between, and cut otherwise.",
    )
    roles: Annotated[dict[str, Role], AfterValidator(_in_small_letters), Later({})] = Field(
        default={},
        description="What role names of the data mean beside the usual ones, such as {customer: user, agent: "
        "assistant}. Small and capital letters are alike.",
    )
    tools: Literal["text", "drop_row"] = Field(
        default="text",
        description="What to do with definitions, calls and results of tools: write them into the text (see pools.md), "
        "or drop rows that have any.",
    )
    thinking: Literal["keep", "drop"] = Field(
        default="keep",
        description="What to do with thinking in a field of its own: put it before the answer in <think> tags, or "
        "leave it out and count the row as trimmed. Thinking that is in the text stays as it is.",
    )

    limit: int | None = Field(
        default=None,
        ge=1,
        description="How many rows to keep: those with the smallest content hashes, so that a smaller limit keeps a "
        "part of what a larger one keeps. Rows set aside by `held_out` and `base_model` do not count.",
    )
    held_out: float = Field(default=0.0, ge=0, lt=1, description="Fraction of rows set aside to measure loss on.")
    base_model: float = Field(
        default=0.0, ge=0, lt=1, description="Fraction of rows set aside to pre-train a base model on."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "PoolSettings":
        if self.held_out + self.base_model >= 1:
            raise ValueError("held_out and base_model together must leave something: keep their sum below 1")
        self._check_columns()
        given = self.model_fields_set & {"form", "column", "columns", "source_column", "licence"}
        if self.source.package is not None and given:
            raise ValueError(f"{', '.join(sorted(given))}: a packaged pool sets these itself; leave them out")
        for unit in ("turns", "characters"):
            least, most = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{unit} {least} is above max_{unit} {most}, so that no row passes; change one")
        return self

    def _check_columns(self) -> None:
        """Raise ValueError where form, column and columns do not go together."""
        columns = self.columns
        if self.form in ("alpaca", "columns", "tree", "chatgpt") and self.column is not None:
            raise ValueError(f"column: the {self.form} form has no list of messages; leave it out")
        if self.form != "alpaca" and (columns.prompt is None) != (columns.answer is None):
            raise ValueError("columns: prompt and answer go together; name both")
        if "" in (columns.prompt, columns.answer) or (columns.prompt and columns.prompt == columns.answer):
            raise ValueError("columns: prompt and answer must name two fields")
        if self.form == "columns" and columns.prompt is None:
            raise ValueError("columns: the columns form needs the fields of prompt and answer; name both")
        if columns.prompt is not None and (self.column is not None or self.form not in (None, "columns", "alpaca")):
            raise ValueError(
                "columns: prompt and answer are for rows without a list of messages; leave out form and column"
            )
