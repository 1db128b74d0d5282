"""The options that say where data is and how its rows are read."""

import argparse
from typing import Any, get_args

from selection_platform.configuration.new_profile import source_of
from selection_platform.configuration.pool_settings import Form


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "source",
        nargs="+",
        metavar="PATH_OR_HUB_ID",
        help="files, folders or patterns, or the id of a dataset on the hub",
    )
    parser.add_argument("--config", help="configuration of a hub dataset that has several")
    parser.add_argument("--split", help="split of a hub dataset (default: train)")
    parser.add_argument("--form", choices=get_args(Form), help="form of the rows, if it is not recognised")
    parser.add_argument("--column", metavar="FIELD", help="field with the list of messages")
    parser.add_argument(
        "--columns",
        type=_pairs,
        metavar="PART=FIELD,...",
        help="fields with prompt, answer, system, context and history, such as prompt=question,answer=reply",
    )


def pool_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the pool in a profile. Unreadable rows are skipped and counted, so that one does not stop it.

    Raises:
        PlatformError: the data is not found.
    """
    reading = {name: getattr(options, name) for name in ("form", "column", "columns") if getattr(options, name)}
    return {"source": source_of(options.source, options.config, options.split), **reading, "on_bad_row": "skip"}


def _pairs(text: str) -> dict[str, str]:
    """The field of each part.

    Raises:
        argparse.ArgumentTypeError: the text is not PART=FIELD,...
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(part and equals for part, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=FIELD,..., such as prompt=question,answer=reply")
    return {part.strip(): field.strip() for part, _, field in pairs}
