"""Recognises the form of a pool's rows from some of them, unless the settings say it."""

import json
import logging
from collections import Counter, deque
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from selection_platform.configuration.pool_settings import Form, PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.messages import form_of_list, message_list, other_keys
from selection_platform.pools.forms.reading import (
    CURRENT_NODE,
    MAPPING,
    TREE_FIELDS,
    Reading,
    columns_reading,
    list_reading,
    stated_reading,
)
from selection_platform.pools.forms.texts import OF_THE_FORM, escape_surrogates, is_blank, parsed_json
from selection_platform.pools.shards import shard_paths

logger = logging.getLogger(__name__)

SAMPLE_ROWS = 100
ENOUGH = 0.9
"""Share of the sampled rows that must have the same form. The other rows are then bad rows."""

LIST_FIELDS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat")
PREFERRED = "chosen"
PROMPT_FIELDS = ("instruction", "prompt", "question", "query", "problem", "input")
ANSWER_FIELDS = ("output", "response", "completion", "answer", "solution", "chosen")
MATERIAL = "input"
"""Usual names of lists of messages, of questions and of answers. `input` next to a question is its material."""


class UnknownForm(PlatformError):
    """Rows whose form cannot be recognised."""


def find_reading(settings: PoolSettings, raw_folder: Path) -> Reading:
    """How to read the rows of a finished raw pool.

    Raises:
        UnknownForm: the settings do not say, and the form cannot be recognised.
    """
    reading = stated_reading(settings)
    if reading is None:
        reading = recognise(sample_records(raw_folder), settings)
        logger.info("pool: form recognised as %s", reading)
    return reading


def recognise(records: list[dict[str, Any]], settings: PoolSettings) -> Reading:
    """The reading that fits the records.

    Raises:
        UnknownForm: none fits, or several do.
    """
    votes = Counter(readings for record in records if (readings := _candidates_of_any(record, settings)))
    if not votes:
        # A broken list under its usual name is a bad row, with a message of its own.
        if settings.column is None and any(MAPPING in record and CURRENT_NODE in record for record in records):
            return list_reading("chatgpt", MAPPING, settings)
        usual = LIST_FIELDS if settings.column is None else (settings.column,)
        broken = [name for name in usual if any(name in record for record in records)]
        if broken:
            return list_reading("messages", broken[0], settings)
        shown = escape_surrogates(", ".join(sorted({name for record in records for name in record})) or "nothing")
        raise UnknownForm(
            f"form: cannot be recognised from the rows, which have the fields {shown}; {OF_THE_FORM}, or convert the "
            "rows as docs/pools.md says under 'Shapes that you must convert'"
        )
    best, rows = votes.most_common(1)[0]
    if len(best) == 1 and rows >= ENOUGH * votes.total():
        return best[0]
    counts: Counter[Reading] = Counter()
    for readings, rows in votes.items():
        counts.update(dict.fromkeys(readings, rows))
    _check_keys(counts)
    choices = escape_surrogates(
        "; ".join(f"{reading.as_settings} ({count} rows)" for reading, count in counts.most_common())
    )
    raise UnknownForm(
        f"form: several fit the {len(records)} rows that were inspected; choose one, or make a separate pool for each: "
        f"{choices}"
    )


def _check_keys(counts: Counter[Reading]) -> None:
    """Raise UnknownForm if a list has different keys in different rows, which no setting can express."""
    for column in {reading.column for reading in counts if reading.keys is not None}:
        shapes = [(reading.shape, count) for reading, count in counts.most_common() if reading.column == column]
        if len(shapes) > 1:
            named = " and ".join(f"{shape} in {count} rows" for shape, count in shapes)
            raise UnknownForm(
                escape_surrogates(
                    f"form: {column} is {named}; rename the keys so that all rows have the same ones, or put "
                )
                + "the rows of each into separate files and make a pool for each"
            )


def _candidates_of_any(record: dict[str, Any], settings: PoolSettings) -> tuple[Reading, ...]:
    try:
        return tuple(candidates(record, settings))
    except RecursionError:
        # A row that is nested too deeply is a bad row, and says nothing about the form.
        return ()


def candidates(record: dict[str, Any], settings: PoolSettings) -> list[Reading]:
    """The readings that fit a row equally well; empty if none fits."""
    if settings.column in (None, MAPPING) and _is_chatgpt(record.get(MAPPING)):
        return [list_reading("chatgpt", MAPPING, settings)]
    if settings.column is not None:
        form = _form_of(record.get(settings.column))
        if form is not None:
            return [list_reading(form, settings.column, settings)]
        return _of_other_keys({settings.column: record.get(settings.column)}, settings)
    if all(name in record for name in TREE_FIELDS):
        return [list_reading("tree", "messages", settings)]
    forms: dict[str, Form | None] = {name: _form_of(value) for name, value in record.items()}
    lists: dict[str, Form] = {name: form for name, form in forms.items() if form is not None}
    of_known_name = [list_reading(lists[name], name, settings) for name in LIST_FIELDS if name in lists]
    if of_known_name:
        return of_known_name
    if lists.get(PREFERRED, "strings") != "strings" and not _begins_with_the_answer(record[PREFERRED]):
        return [list_reading(lists[PREFERRED], PREFERRED, settings)]
    pairs = _pairs(record, settings)
    if pairs:
        return pairs
    others = [list_reading(form, name, settings) for name, form in lists.items() if form != "strings"]
    # Last, so that lists with a form's own keys take precedence.
    return others or _of_other_keys(record, settings)


def _is_chatgpt(value: Any) -> bool:
    """Whether a field has the tree of messages of ChatGPT's data export."""
    mapping = parsed_json(value) if isinstance(value, str) else value
    nodes = [node for node in mapping.values() if node is not None] if isinstance(mapping, dict) else []
    return bool(nodes) and all(isinstance(node, dict) and {"message", "parent"} <= node.keys() for node in nodes)


def _of_other_keys(record: dict[str, Any], settings: PoolSettings) -> list[Reading]:
    """The lists of messages with keys that no form has."""
    key_pairs = {name: other_keys(items) for name, value in record.items() if (items := _items(value)) is not None}
    usual = [name for name in LIST_FIELDS if key_pairs.get(name)]
    return [
        list_reading("messages", name, settings, keys)
        for name, keys in key_pairs.items()
        if keys is not None and name in (usual or key_pairs)
    ]


def _form_of(value: Any) -> Form | None:
    """The form of a list of messages; None if a value is not a list of messages."""
    items = _items(value)
    return None if items is None else form_of_list(items)


def _items(value: Any) -> list[Any] | None:
    """The items of a non-empty list; None if a value is not a list."""
    if is_blank(value) or not isinstance(value, list | dict | str):
        return None
    try:
        return message_list(value, "")
    except BadRow:
        return None


def _begins_with_the_answer(value: Any) -> bool:
    first = message_list(value, "")[0]
    return str(first.get("role", first.get("from"))).lower() in ("assistant", "gpt")


def _pairs(record: dict[str, Any], settings: PoolSettings) -> list[Reading]:
    """The pairs of fields with a question and an answer."""
    prompts = [name for name in PROMPT_FIELDS if _says(record.get(name))]
    if len(prompts) > 1 and MATERIAL in prompts:
        prompts.remove(MATERIAL)
    answers = [name for name in ANSWER_FIELDS if _says(record.get(name))]
    return [columns_reading(prompt, answer, settings) for prompt in prompts for answer in answers]


def _says(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or _form_of(value) in ("messages", "sharegpt")


def sample_records(raw_folder: Path) -> list[dict[str, Any]]:
    """Rows of a finished raw pool, evenly spaced in each of its files, without rows that are not JSON objects."""
    runs: dict[str, list[tuple[Path, range]]] = {}
    for path in shard_paths(raw_folder):
        start = 0
        for file, rows in groupby(pq.read_table(path, columns=["file"])["file"].to_pylist()):
            end = start + sum(1 for _ in rows)
            runs.setdefault(file, []).append((path, range(start, end)))
            start = end
    wanted: dict[Path, list[int]] = {}
    for of_file in runs.values():
        for path, place in _evenly_spaced(of_file, max(1, SAMPLE_ROWS // len(runs))):
            wanted.setdefault(path, []).append(place)
    return [record for path, places in wanted.items() for record in _records(path, places)]


def _evenly_spaced(runs: list[tuple[Path, range]], most: int) -> Iterator[tuple[Path, int]]:
    """At most `most` evenly spaced rows of a file: the shard, and the row's number in it."""
    rows = sum(len(places) for _, places in runs)
    wanted = deque(sorted({number * rows // most for number in range(most)}))
    before = 0
    for path, places in runs:
        while wanted and wanted[0] < before + len(places):
            yield path, places[wanted.popleft() - before]
        before += len(places)


def _records(path: Path, places: list[int]) -> Iterator[dict[str, Any]]:
    for text in pq.read_table(path, columns=["record"])["record"].take(places).to_pylist():
        try:
            yield json.loads(text)
        except RecursionError:
            continue
