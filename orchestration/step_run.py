"""Runs one step in this process, and says in one error what failed."""

import gc

from assets.record.reuse import Again
from orchestration.graph import Step
from orchestration.materialize import materialize_step
from orchestration.workspace import Workspace
from selection_platform.errors import PlatformError, is_fixable, message_of


def run_step(workspace: Workspace, step: Step, again: Again | None = None) -> int | None:
    """Run one step. A step whose result would be the same computes nothing, unless it is to be made `again`.

    Returns:
        The number of rows that it made; None if it did not say.

    Raises:
        PlatformError: the step failed with an error that the user can fix. The message begins with the step.
        Exception: any other error of the asset, with a note of the step.
    """
    # Each training collects garbage. Without the freeze, scanning all modules takes longer than the training steps.
    gc.collect()
    gc.freeze()
    try:
        metadata = materialize_step(step, workspace.assets, workspace.resources, workspace.instance, again=again)
    except Exception as error:
        if is_fixable(error):
            raise PlatformError(f"{step}: {message_of(error)}") from error
        error.add_note(f"in step {step}")
        raise
    rows = metadata.get("dagster/partition_row_count", metadata.get("dagster/row_count"))
    return rows if isinstance(rows, int) else None
