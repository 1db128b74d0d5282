"""Plain paths for libraries that interpret some characters: DuckDB reads patterns, SQLAlchemy URLs."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SPECIAL = re.compile(r"[*?\[\\%]")
"""Characters that DuckDB takes for a pattern or a separator, and Dagster's SQLite for a part of a URL.

A pattern is worse than an error. DuckLake deletes all files below its folder that its catalog does not know: with
`/data/*`, the tables of every home beside this one.
"""

Plain = Callable[[Path], str]


@contextmanager
def plain_paths() -> Iterator[Plain]:
    """Yields a function that turns a path into one that every library reads as the same file.

    Most paths are plain already. In the others, the part up to the last special character is opened as a folder, and
    named by its descriptor in this process: `/proc/4711/fd/9/warehouse/tables`. Child processes may use such a path
    too, until the block ends.
    """
    opened: dict[Path, Path] = {}

    with ExitStack() as stack:

        def plain(path: Path) -> str:
            special = next((part for part in (path, *path.parents) if SPECIAL.search(part.name)), None)
            if special is None:
                # A second leading slash names the same path, but DuckLake compares paths as texts.
                return re.sub("^/+", "/", str(path))
            if special not in opened:
                number = os.open(special, os.O_RDONLY)
                stack.callback(os.close, number)
                opened[special] = Path(f"/proc/{os.getpid()}/fd/{number}")
            return str(opened[special] / path.relative_to(special))

        yield plain
