"""Paths for those that read more into a path than a name: DuckDB takes some for patterns, SQLAlchemy for URLs."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SPECIAL = re.compile(r"[*?\[\\%]")
"""What DuckDB takes for a pattern or a separator, and Dagster's SQLite for a part of a URL.

A pattern is worse than an error. DuckLake deletes all that its catalog does not know of below its folder: at `/data/*`,
the tables of every home beside this one.
"""

Plain = Callable[[Path], str]


@contextmanager
def plain_paths() -> Iterator[Plain]:
    """Gives paths that mean the same file whoever reads them; most are plain as they are.

    Of the others, the part up to the last special character is opened as a folder, and named by its number in this
    process: `/proc/4711/fd/9/warehouse/tables`. Processes that this one starts may use it too, until the block ends.
    """
    opened: dict[Path, Path] = {}

    with ExitStack() as stack:

        def plain(path: Path) -> str:
            special = next((part for part in (path, *path.parents) if SPECIAL.search(part.name)), None)
            if special is None:
                # Another slash in front is the same path, but not to DuckLake as it compares it with what it lists.
                return re.sub("^/+", "/", str(path))
            if special not in opened:
                number = os.open(special, os.O_RDONLY)
                stack.callback(os.close, number)
                opened[special] = Path(f"/proc/{os.getpid()}/fd/{number}")
            return str(opened[special] / path.relative_to(special))

        yield plain
