"""What the tests of broken pools share: rows, and what becomes of a file of them."""

import json

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.pool import EmptyPool, write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.rows import SourceError

SKIP = ", or set on_bad_row: skip for this pool"
FIRST = "@/a.jsonl, row 1"


def chat(question: object = "Why?", answer: object = "So.", **fields: object) -> dict[str, object]:
    return {"messages": [turn("user", question), turn("assistant", answer)], **fields}


def turn(role: object, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def outcome(tmp_path, name, content, settings):
    """The message, with the bad row's reason before it; or the counts."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    given = PoolSettings.model_validate({"source": {"files": str(tmp_path / name)}, **settings})
    try:
        raw = write_raw_pool(given, tmp_path / "raw")
        report = write_pool(given, tmp_path / "raw", [], tmp_path / "pool")
    except BadRow as error:
        text = str(error).replace(str(tmp_path), "@")
        # Each ends with the way to skip it, which the tables leave out.
        return f"{error.reason} | {text.removesuffix(SKIP) if text.endswith(SKIP) else f'no way to skip: {text}'}"
    except (SourceError, EmptyPool) as error:
        return str(error).replace(str(tmp_path), "@")
    # No row is lost without a reason.
    assert report.rows == raw.rows == sum(report.kept.values()) + sum(report.dropped.values())
    counts = {"kept": report.kept["pool"], **raw.bad_rows, **report.dropped, **report.trimmed}
    return ", ".join(f"{reason}: {count}" for reason, count in counts.items())
