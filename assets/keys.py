"""Keys of the assets that other modules refer to."""

import dagster as dg

RAW_POOL = dg.AssetKey("raw_pool")
POOL = dg.AssetKey("pool")
SELECTION = dg.AssetKey("selection")
CHECKPOINT = dg.AssetKey("checkpoint")
TASK_DATASET = dg.AssetKey("task_dataset")
BENCHMARK_RESULT = dg.AssetKey("benchmark_result")


Node = tuple[dg.AssetKey, str | None]
"""One partition of one asset."""
