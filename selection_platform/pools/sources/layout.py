"""Which files belong to a dataset's configurations and splits: its card says so, or else the files' names.

The rules are those of `datasets` (its documentation: "Structure your repository"). They use only paths, so a folder and
a repository on the hub with the same files are read in the same way.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from selection_platform.pools.rows import SourceError
from selection_platform.pools.sources.formats import READABLE, format_of

CARD = "README.md"
DEFAULT, ALL = "default", "all"

Splits = dict[str, list[str]]
"""Paths of files, by split."""

_SHARD = re.compile(r"data/(\w[\w.]*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
_EXPORTED = re.compile(r"([^/]+)/(?:partial-)?([^/]+)/\d{4,}\.parquet")
"""File names in the hub's own Parquet export, the branch refs/convert/parquet."""

_WORDS = {
    "train": "train|training",
    "validation": "validation|valid|dev|val",
    "test": "test|testing|eval|evaluation",
}
_OTHER_READING = ("sep", "delimiter", "field", "names", "column_names", "header", "skiprows", "quotechar", "encoding")
"""Settings in a card that change how a file is read."""

_MEDIA = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".wav", ".mp3", ".flac", ".mp4", ".webm")


@dataclass(frozen=True)
class Layout:
    """The configurations of a dataset.

    Attributes:
        hub: its id or folder, for messages.
        configs: the splits of each configuration.
        default: the default configuration; None if the card does not name one.
        left_out: paths of files that cannot be read.
        faults: messages about errors in the card, by configuration and split.
    """

    hub: str
    configs: Mapping[str, Splits]
    default: str | None
    left_out: list[str] = field(default_factory=list)
    faults: Mapping[tuple[str, str | None], str] = field(default_factory=dict)

    def choose(self, configs: Sequence[str], splits: Sequence[str]) -> list[str]:
        """The files of some configurations and splits, each once, in their order.

        Raises:
            SourceError: there is no such configuration or split, or a split's files are of several formats.
        """
        chosen: dict[str, None] = {}
        for config in self._configs(configs):
            of_config = self.configs[config]
            for split in of_config if tuple(splits) == (ALL,) and ALL not in of_config else splits:
                if split not in of_config:
                    raise SourceError(
                        f"hub: {self.hub} has no split {split!r} in its config {config!r}; `split` can be "
                        f"{_listed(of_config)}, several of these (a+b), or all"
                    )
                if fault := self.faults.get((config, None)) or self.faults.get((config, split)):
                    raise SourceError(fault)
                _check_format(f"hub: the split {split!r} of {self.hub}", of_config[split])
                chosen |= dict.fromkeys(of_config[split])
        return list(chosen)

    def _configs(self, names: Sequence[str]) -> list[str]:
        if not names and self.default is None:
            raise SourceError(
                f"hub: {self.hub} has several configs and no default; set `config` to one or a list of "
                f"{_listed(self.configs)}"
            )
        chosen: list[str] = []
        for name in names or [str(self.default)]:
            # A configuration's own name may contain a plus.
            chosen += [name] if name in self.configs else [part.strip() for part in name.split("+")]
        for name in chosen:
            if name not in self.configs:
                raise SourceError(
                    f"hub: {self.hub} has no config {name!r}; `config` can be one or a list of {_listed(self.configs)}"
                )
        return chosen


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _check_format(what: str, paths: list[str]) -> None:
    formats = Counter(str(format_of(path)) for path in paths)
    if len(formats) > 1:
        kinds = " and ".join(f"{count} {name}" for name, count in sorted(formats.items()))
        first = PurePosixPath(paths[0])
        raise SourceError(
            f"{what} has files of several formats ({kinds}), which may be the same rows twice; choose, for instance "
            f"with `files: {first.with_name(f'*{first.suffix}')}` next to `hub`"
        )


def read_layout(hub: str, paths: Iterable[str], card: str | None) -> Layout:
    """The layout of a dataset.

    Args:
        hub: its id or folder, for messages.
        paths: all its files, relative to its folder.
        card: text of its README.md.

    Raises:
        SourceError: the card is broken, or the dataset has no file that can be read.
    """
    everything = in_order(path for path in paths if not _is_hidden(path))
    readable = [path for path in everything if format_of(path)]
    left_out = [path for path in everything if not format_of(path) and path != CARD]
    card_configs = _configs_of_card(hub, card)
    if card_configs and any("data_files" in config for config in card_configs):
        return _by_card(hub, card_configs, readable, left_out)
    _check_readable(hub, readable, left_out)
    exported = [_EXPORTED.fullmatch(path) for path in readable]
    if all(exported):
        return _by_export(hub, [match for match in exported if match])
    if not card_configs:
        return Layout(hub, {DEFAULT: splits_by_name(readable)}, DEFAULT, left_out)
    return _by_card(hub, card_configs, readable, left_out)


def in_order(paths: Iterable[str]) -> list[str]:
    """Paths in the order in which a folder's files are read: folder by folder."""
    return sorted(paths, key=PurePosixPath)


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "__")) for part in PurePosixPath(path).parts)


def _check_readable(hub: str, readable: list[str], left_out: list[str]) -> None:
    script = f"{PurePosixPath(hub).name}.py"
    if script in left_out or (not readable and any(path.endswith(".py") for path in left_out)):
        raise SourceError(
            f"hub: {hub} needs a script, which is not run; set `revision: refs/convert/parquet` if the hub has "
            "exported its rows, or write the rows to files and name these"
        )
    media = [path for path in left_out if path.lower().endswith(_MEDIA)]
    if media and all(PurePosixPath(path).stem == "metadata" for path in readable):
        raise SourceError(f"hub: {hub} is a folder of images or sound ({media[0]}, ...); only rows of text can be read")
    if not readable:
        content = f"it has {', '.join(left_out[:3])}" if left_out else "it is empty"
        raise SourceError(f"hub: {hub} has no file that can be read: {content}. {READABLE}")


def _configs_of_card(hub: str, card: str | None) -> list[dict[str, Any]]:
    """The configurations that a card lists, in the YAML between its first two lines of three dashes."""
    lines = (card or "").removeprefix("\ufeff").splitlines()
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        return []
    try:
        header = yaml.safe_load("\n".join(lines[1 : lines.index("---", 1)]))
    except yaml.YAMLError as error:
        raise SourceError(f"hub: the card of {hub}, {CARD}, is not YAML ({error}); repair it") from error
    configs = header.get("configs") if isinstance(header, dict) else None
    for config in configs or []:
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            raise SourceError(f"hub: in {CARD} of {hub} a config has no config_name; repair `configs` there")
    return configs or []


def _by_card(hub: str, card_configs: list[dict[str, Any]], readable: list[str], left_out: list[str]) -> Layout:
    configs: dict[str, Splits] = {}
    faults: dict[tuple[str, str | None], str] = {}
    for config in card_configs:
        name, folder = config["config_name"], str(config.get("data_dir") or "").strip("./")
        prefix = folder and f"{folder}/"
        inside = {path.removeprefix(prefix): path for path in readable if path.startswith(prefix)}
        where = f"hub: in {CARD} of {hub} the config {name!r}"
        for other in [other for other in _OTHER_READING if other in config][:1]:
            fix = "write its rows as JSON lines and name these with `files`"
            faults[name, None] = f"{where} sets {other}, which is not supported; {fix}"
        if config.get("data_files") is None:
            by_name = splits_by_name(list(inside))
            configs[name] = {split: [inside[path] for path in paths] for split, paths in by_name.items()}
            continue
        configs[name] = {}
        for split, patterns in _patterns(where, config["data_files"]).items():
            matches = {pattern: matching(pattern, list(inside)) for pattern in patterns}
            for pattern in [pattern for pattern in patterns if not matches[pattern]][:1]:
                faults[name, split] = _no_file(hub, pattern)
            configs[name][split] = list(dict.fromkeys(inside[path] for paths in matches.values() for path in paths))
    defaults = [config["config_name"] for config in card_configs if config.get("default")]
    names = [*defaults, *(name for name in configs if name == DEFAULT or len(configs) == 1)]
    return Layout(hub, configs, names[0] if names else None, left_out, faults)


def _patterns(where: str, data_files: Any) -> dict[str, list[str]]:
    """Patterns by split of a card's `data_files`: a pattern, a list of them, or a list of {split, path}."""
    items = data_files if isinstance(data_files, list) else [data_files]
    patterns: dict[str, list[str]] = {}
    for item in items:
        split, path = (item.get("split"), item.get("path")) if isinstance(item, dict) else ("train", item)
        several: list[Any] = path if isinstance(path, list) else [path]
        if not isinstance(split, str) or not all(isinstance(name, str) for name in several):
            raise SourceError(f"{where} has data_files that are neither paths nor {{split, path}}; repair them")
        patterns.setdefault(split, []).extend(several)
    return patterns


def matching(pattern: str, paths: Sequence[str]) -> list[str]:
    """The paths that a pattern matches. If a path equals the pattern, only that path."""
    plain = pattern.removeprefix("./")
    expression = _expression(plain)
    return [plain] if plain in paths else [path for path in paths if expression.fullmatch(path)]


def named(hub: str, patterns: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The files of a dataset that patterns match, each once, in the patterns' order.

    Raises:
        SourceError: a pattern matches no file that can be read.
    """
    readable = in_order(path for path in paths if format_of(path))
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matches = matching(pattern, readable)
        if not matches:
            raise SourceError(_no_file(hub, pattern))
        chosen |= dict.fromkeys(matches)
    return list(chosen)


def _no_file(hub: str, pattern: str) -> str:
    return f"hub: {hub} has no file {pattern} that can be read; correct its card, or name others with `files`"


def _expression(pattern: str) -> re.Pattern[str]:
    """A pattern of paths: `*` and `?` stay within a folder, `**` does not."""
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            wild.get(token) or (re.sub(r"^\[!", "[^", token) if token.startswith("[") else re.escape(token))
            for token in tokens
        )
    )


def _by_export(hub: str, matches: list[re.Match[str]]) -> Layout:
    configs: dict[str, Splits] = {}
    for match in matches:
        configs.setdefault(match[1], {}).setdefault(match[2], []).append(match[0])
    default = DEFAULT if DEFAULT in configs else next(iter(configs)) if len(configs) == 1 else None
    return Layout(hub, configs, default)


def splits_by_name(paths: list[str]) -> Splits:
    """The splits that files belong to by their names: shards, else folders, else file names; else all are `train`."""
    shards = [(match[1], path) for path in paths if (match := _SHARD.fullmatch(path))]
    if shards:
        names = sorted({split for split, _ in shards}, key=lambda split: (split not in _WORDS, split))
        return {split: [path for of, path in shards if of == split] for split in names}
    for parts in (lambda path: PurePosixPath(path).parts[:-1], lambda path: PurePosixPath(path).parts[-1:]):
        splits = {
            split: [path for path in paths if any(_has_word(part, words) for part in parts(path))]
            for split, words in _WORDS.items()
        }
        if any(splits.values()):
            return {split: found for split, found in splits.items() if found}
    return {"train": paths} if paths else {}


def _has_word(part: str, words: str) -> bool:
    return re.search(rf"(?:^|[-._ 0-9])(?:{words})(?:[-._ 0-9]|$)", part) is not None
