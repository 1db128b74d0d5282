"""The identity of a benchmark item."""

import json
from typing import Any

from selection_platform.job.folder import content_hash


def item_hash(item: dict[str, Any]) -> str:
    """An item's identity: 32 hex digits of its content. A field that is null counts as missing.

    In a dataset, every record has the fields of all records, so its nulls depend on the other items.
    """
    text = json.dumps(item, default=str)
    return content_hash(json.loads(text, object_hook=_without_nulls))[:32]


def _without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}
