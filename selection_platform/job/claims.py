"""Pieces of work that several processes share: a process that is free takes the next piece."""

import shutil
from pathlib import Path

from selection_platform.job.processes import is_first, process_count, wait_for_all


class Claims:
    """Who does which piece of one job's work. Every process makes one, at the same place in its work.

    A claim is an empty file that only one process can create, also on a file system that several machines share. Claims
    hold for one start of the job: what a killed process had taken is free when the job is started again.

    Args:
        folder: for the claims, with nothing else in it. Its name begins with a dot, so that it is no part of a result.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if is_first():
            self.remove()
            folder.mkdir(parents=True)
        wait_for_all()

    def take(self, piece: int | str) -> bool:
        """Take a piece, by its number or name. Returns whether this process was the first to ask for it."""
        if process_count() == 1:
            return True
        try:
            (self._folder / str(piece)).open("x").close()
        except FileExistsError:
            return False
        return True

    def remove(self) -> None:
        """Remove the claims. No other process may be at work."""
        shutil.rmtree(self._folder, ignore_errors=True)
