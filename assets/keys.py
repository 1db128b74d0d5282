"""Keys of the assets that other modules refer to."""

import dagster as dg

RAW_POOL = dg.AssetKey("raw_pool")
POOL = dg.AssetKey("pool")
SELECTION = dg.AssetKey("selection")
CHECKPOINT = dg.AssetKey("checkpoint")
BENCHMARK_RESULT = dg.AssetKey("benchmark_result")


Node = tuple[dg.AssetKey, str | None]
"""One partition of one asset."""
