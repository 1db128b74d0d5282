"""Functions that the assets of scoring jobs share: the file of samples, and the hash of the output."""

from pathlib import Path

from resources.conversations import conversations_sql
from resources.warehouse import Warehouse
from selection_platform.job.folder import read_manifest


def samples_file(pool: str, folder: Path, warehouse: Warehouse, query: str = "30_features/samples_to_score") -> Path:
    """The pool's conversations as a file in `folder`, for a job to read. `query` gives them in the order of ids."""
    samples = folder / "samples.parquet"
    values = {"pool": pool}
    warehouse.export(conversations_sql(warehouse, query, values), samples, values)
    return samples


def job_content_hash(folder: Path) -> str:
    """The hash of a finished job's output."""
    return (read_manifest(folder) or {})["content_hash"]
