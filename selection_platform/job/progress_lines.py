"""The library's log messages as lines on standard error."""

import logging
import sys

from selection_platform.job import progress
from selection_platform.text.printable import printable


class _Printable(logging.Formatter):
    """Lines without control characters: messages contain file names and texts of rows."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def show_progress() -> None:
    """Show the library's messages. On a terminal, progress messages are left out, because progress bars show them."""
    warnings_only = logging.StreamHandler()
    warnings_only.setLevel(logging.WARNING)
    warnings_only.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(handlers=[warnings_only])
    is_terminal = sys.stderr.isatty()

    def is_wanted(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING and not (is_terminal and record.name == progress.__name__)

    lines = logging.StreamHandler()
    lines.setFormatter(_Printable("    %(message)s"))
    lines.addFilter(is_wanted)
    # Set again for each command in this process, because Dagster lowers the level when it runs a step.
    library = logging.getLogger("selection_platform")
    library.handlers[:] = [lines]
    library.setLevel(logging.NOTSET)
