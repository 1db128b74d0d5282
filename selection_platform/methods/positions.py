"""The file that a method which picks one by one leaves for its scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.job.folder import whole_file


def write_positions(sample_ids: Sequence[str], into: Path) -> None:
    """Write `sample_id` and `position` (from 1) of samples in the order of picking."""
    table = pa.table({"sample_id": list(sample_ids), "position": np.arange(1, len(sample_ids) + 1)})
    with whole_file(into) as temporary:
        pq.write_table(table, temporary)
