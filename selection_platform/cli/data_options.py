"""What commands that begin with data ask of it."""

import argparse
from typing import Any, get_args

from selection_platform.configuration.new_profile import source_of
from selection_platform.configuration.pool_settings import Form


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add where the data lies and how its rows are read."""
    parser.add_argument(
        "source", nargs="+", metavar="PATH_OR_HUB_ID", help="files, folders or patterns, or the id of a data set"
    )
    parser.add_argument("--config", help="configuration of a hub data set that has several")
    parser.add_argument("--split", help="split of a hub data set (default: train)")
    parser.add_argument("--form", choices=get_args(Form), help="form of the rows, where it is not recognised")
    parser.add_argument("--column", metavar="FIELD", help="field with the list of messages")
    parser.add_argument(
        "--columns",
        type=_pairs,
        metavar="PART=FIELD,...",
        help="fields of prompt, answer, system, context and history, such as prompt=question,answer=reply",
    )


def pool_of(options: argparse.Namespace) -> dict[str, Any]:
    """What a profile says of the pool. Rows that cannot be read are counted: a first look should not end at one.

    Raises:
        PlatformError: there is no such data.
    """
    reading = {name: getattr(options, name) for name in ("form", "column", "columns") if getattr(options, name)}
    return {"source": source_of(options.source, options.config, options.split), **reading, "on_bad_row": "skip"}


def _pairs(text: str) -> dict[str, str]:
    """Names and fields.

    Raises:
        argparse.ArgumentTypeError: the text is not PART=FIELD, ...
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(part and equals for part, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=FIELD,..., such as prompt=question,answer=reply")
    return {part.strip(): field.strip() for part, _, field in pairs}
