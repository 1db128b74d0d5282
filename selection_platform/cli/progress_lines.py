"""What the library says while it works, as lines on standard error."""

import logging
import sys

from selection_platform.job import progress


def show_progress() -> None:
    """Show what the library says: all of it where there is no terminal, and beside the bars of one no progress."""
    warnings_only = logging.StreamHandler()
    warnings_only.setLevel(logging.WARNING)
    logging.basicConfig(handlers=[warnings_only])
    is_terminal = sys.stderr.isatty()

    def is_wanted(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING and not (is_terminal and record.name == progress.__name__)

    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("    %(message)s"))
    lines.addFilter(is_wanted)
    # As in a new process, also where this one runs several commands: Dagster lowers the level when it runs a step.
    library = logging.getLogger("selection_platform")
    library.handlers[:] = [lines]
    library.setLevel(logging.NOTSET)
