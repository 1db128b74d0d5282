"""Rows that cannot be read as a conversation: their messages and their counts."""

from collections import Counter
from typing import Literal

from selection_platform.errors import PlatformError


class BadRow(PlatformError):
    """A row that cannot be read.

    Attributes:
        reason: what is wrong, in words that do not depend on the row, so that rows can be counted by it.
        row: the row's number in its file from 1; None before `at` gave it.
    """

    def __init__(self, reason: str, field: str | None, problem: str, fix: str) -> None:
        super().__init__(reason, field, problem, fix)
        self.reason = reason
        self.row: int | None = None
        self._where = ""
        self._field = f"field {field}: " if field is not None else ""
        self._problem = problem
        self._fix = fix

    def at(self, file: str, row: int) -> "BadRow":
        """This error, with its place: the file, and the row's number in it from 1."""
        self.row = row
        self._where = f"{file}, row {row}, " if self._field else f"{file}, row {row}: "
        return self

    def __str__(self) -> str:
        return f"{self.example}, or set on_bad_row: skip for this pool"

    @property
    def example(self) -> str:
        """The message where bad rows are skipped already: without the advice to skip them."""
        text = f"{self._where}{self._field}{self._problem}; {self._fix}"
        # The message may have keys and names from the row that no file can hold.
        return text.encode(errors="backslashreplace").decode()


class BadRowTally:
    """Raises the first bad row or counts all of them, as the pool's settings say.

    Attributes:
        counts: bad rows by reason.
        examples: the message of the first row, by reason.
    """

    def __init__(self, on_bad_row: Literal["stop", "skip"]) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._stop = on_bad_row == "stop"

    def meet(self, bad_row: BadRow) -> None:
        """Count a bad row.

        Raises:
            BadRow: that row, if the settings say stop.
        """
        if self._stop:
            raise bad_row
        self.counts[bad_row.reason] += 1
        self.examples.setdefault(bad_row.reason, bad_row.example)
