"""YAML without duplicate keys: PyYAML would keep the last one and say nothing."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


class NotYaml(ValueError):
    """A file that cannot be read as YAML, with the line and what is wrong there."""


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, after a check that its keys differ. Keys that are merged in (`<<`) may be overridden."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise NotYaml(
                    f"line {line}: key {key.value!r} is already in line {lines[key.value]}; remove one of them"
                )
            lines[key.value] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        NotYaml: it is not UTF-8 or not YAML, or a mapping has a key twice.
    """
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise NotYaml(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error


def parse_yaml(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        NotYaml: it is not YAML, or a mapping has a key twice.
    """
    try:
        # Only SafeLoader's own constructors: nothing in the file is run.
        return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise NotYaml(f"{line}not YAML: {error.problem}; repair the line") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise NotYaml(f"not YAML: {error}") from error
