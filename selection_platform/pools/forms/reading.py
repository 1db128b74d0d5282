"""How the rows of a pool are read: their form, and the names of its fields."""

from dataclasses import dataclass

from selection_platform.configuration.pool_settings import Form, PoolSettings

SYSTEM_FIELDS = ("system", "system_prompt")
CONTEXT_FIELDS = ("context", "input")
HISTORY_FIELDS = ("history",)
"""Usual names of fields with a system message, with material for a question, and with earlier turns."""

ALPACA = ("instruction", "output")
TREE_FIELDS = ("message_id", "parent_id", "role", "text")

MAPPING, CURRENT_NODE = "mapping", "current_node"
"""Fields of ChatGPT's data export."""

DEFAULT_COLUMNS: dict[Form, str] = {
    "messages": "messages", "sharegpt": "conversations", "pairs": "conversation", "strings": "conversations",
    "chatgpt": MAPPING,
}  # fmt: skip
Keys = tuple[str, str]
"""The keys of a message's role and text."""

KEYS: dict[Form, Keys] = {
    "messages": ("role", "content"), "sharegpt": ("from", "value"), "pairs": ("input", "output"),
    "tree": ("role", "text"),
}  # fmt: skip
OTHER_KEYS = (("role", "from", "sender", "author", "speaker"), ("content", "value", "text", "message", "utterance"))
"""Other keys of a message's role and text, in order of preference."""
CLAUDES: tuple[Keys, ...] = (("sender", "text"), ("sender", "content"))
"""Keys in Claude's data export: all versions have `text`, newer ones also `content`."""

LISTS: dict[Form, str] = {
    "messages": "a list of {role, content}",
    "sharegpt": "a list of {from, value}",
    "pairs": "a list of {input, output}",
    "strings": "a list of texts in turn",
}


@dataclass(frozen=True)
class Reading:
    """How to read the rows of one pool.

    Attributes:
        form: `alpaca` is `columns` with its own names.
        column: field with the list of messages, or in `chatgpt` with their tree; None for `columns`. For `tree`, the
            walk through the tree adds this field.
        prompt: field of the question, or of a list of messages that ends with it; only for `columns`.
        answer: field of the answer, or of a list of messages that begins with it; only for `columns`.
        system: fields that may have a system message; the first one with content is read.
        context: likewise, fields with material that follows the question.
        history: likewise, fields with earlier turns.
        keys: keys of each message's role and text, if they differ from the form's.
    """

    form: Form
    column: str | None = None
    prompt: str | None = None
    answer: str | None = None
    system: tuple[str, ...] = SYSTEM_FIELDS
    context: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    keys: Keys | None = None

    def __str__(self) -> str:
        """A description for people."""
        if self.form == "tree":
            return "tree: messages that name the one that they reply to"
        if self.form == "chatgpt":
            return f"chatgpt: the branch of {self.column} that ends with {CURRENT_NODE}"
        if self.column is None:
            return f"{self.form}: {self.prompt} is answered by {self.answer}"
        return f"{self.form}: {self.shape} in {self.column}"

    @property
    def shape(self) -> str:
        """A description of the list of messages."""
        return LISTS[self.form] if self.keys is None else f"a list of {{{', '.join(self.keys)}}}"

    @property
    def as_settings(self) -> str:
        """This reading as settings of a pool."""
        if self.form in ("tree", "chatgpt"):
            return f"form: {self.form}"
        if self.column is None:
            return f"columns: {{prompt: {self.prompt}, answer: {self.answer}}}"
        # A form's name implies its keys.
        return f"column: {self.column}" if self.keys else f"form: {self.form}, column: {self.column}"


def list_reading(form: Form, column: str, settings: PoolSettings, keys: Keys | None = None) -> Reading:
    """The reading of a list of messages."""
    return Reading(form, column, system=_names(settings.columns.system, SYSTEM_FIELDS), keys=keys)


def columns_reading(prompt: str, answer: str, settings: PoolSettings) -> Reading:
    """The reading of a question and its answer in separate fields."""
    wanted = settings.columns
    return Reading(
        "alpaca" if settings.form == "alpaca" else "columns",
        None,
        prompt,
        answer,
        _names(wanted.system, SYSTEM_FIELDS),
        _names(wanted.context, tuple(name for name in CONTEXT_FIELDS if name not in (prompt, answer))),
        _names(wanted.history, HISTORY_FIELDS),
    )


def stated_reading(settings: PoolSettings) -> Reading | None:
    """The reading that the settings ask for; None if it is to be recognised from the rows."""
    if settings.source.package is not None:
        return list_reading("messages", "messages", settings)
    columns = settings.columns
    if settings.form == "alpaca":
        return columns_reading(columns.prompt or ALPACA[0], columns.answer or ALPACA[1], settings)
    if columns.prompt and columns.answer:
        return columns_reading(columns.prompt, columns.answer, settings)
    if settings.form is None:
        return None
    if settings.form == "tree":
        return list_reading("tree", "messages", settings)
    return list_reading(settings.form, settings.column or DEFAULT_COLUMNS[settings.form], settings)


def _names(wanted: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    """The fields to look for: the wanted one, no field if it is empty, or the usual ones if it is left out."""
    return usual if wanted is None else (wanted,) if wanted else ()
