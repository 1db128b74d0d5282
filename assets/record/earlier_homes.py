"""Converts records of version 0.1.0 to the current form, so that nothing is due only because of their form.

Version 0.1.0 gave every asset code version 1, hashed the renderer's source, and counted settings of speed as settings
that decide content.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

TEMPLATES = {"3b36cf0194b5c2b8": "9e7f1182044671ed"}
SPEED = {
    "scoring.tokens_per_batch", "scoring.logit_rows", "scoring.samples_per_shard", "less.tokens_per_batch",
    "less.training.batch_per_device", "less.training.save_steps", "less.training.gradient_checkpointing",
    "fine_tuning.batch_per_device", "fine_tuning.save_steps", "fine_tuning.gradient_checkpointing",
    "evaluation.batch_size",
}  # fmt: skip


def code_version(asset: str, recorded: str | None) -> str | None:
    """The code version of an asset's content."""
    return _first_versions().get(asset) if recorded == "1" else recorded


def settings(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide content."""
    return {
        path: TEMPLATES.get(value, value) if path == "template" else value
        for path, value in recorded.items()
        if path not in SPEED
    }


@cache
def _first_versions() -> dict[str, str]:
    text = files("assets.record").joinpath("code_versions_0.1.0.json").read_text(encoding="utf-8")
    return json.loads(text)
