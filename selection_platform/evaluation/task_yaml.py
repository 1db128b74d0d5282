"""Reads task files of lm-eval without lm-eval."""

from pathlib import Path
from typing import Any

import yaml


class _TaskFileLoader(yaml.SafeLoader):
    """Reads tags such as `!function` as None: code that a task file names is not run to look at it."""


_TaskFileLoader.add_multi_constructor("!", lambda loader, suffix, node: None)


def read_yaml(path: Path) -> Any:
    """What stands in a task file. Raises UnicodeDecodeError, yaml.YAMLError."""
    return yaml.load(path.read_text(encoding="utf-8"), _TaskFileLoader)
