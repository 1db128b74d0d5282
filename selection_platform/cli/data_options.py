"""The options that say where data is and how its rows are read."""

import argparse
from typing import Any, get_args

from selection_platform.configuration.new_profile import source_of
from selection_platform.configuration.pool_settings import Form

READING = ("form", "column", "columns", "roles")
"""The options that are settings of a pool."""


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
    parser.add_argument(
        "--roles",
        type=_pairs,
        metavar="NAME=ROLE,...",
        help="what role names of the data mean (user, assistant or system), such as customer=user,agent=assistant",
    )


def pool_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the pool in a profile. Unreadable rows are skipped and counted, so that one does not stop it.

    Raises:
        PlatformError: the data is not found.
    """
    reading = {name: getattr(options, name) for name in READING if getattr(options, name)}
    return {"source": source_of(options.source, options.config, options.split), **reading, "on_bad_row": "skip"}


def _pairs(text: str) -> dict[str, str]:
    """The names before and after the equals signs.

    Raises:
        argparse.ArgumentTypeError: the text is not NAME=NAME,...
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NAME,..., such as prompt=question,answer=reply")
    return {name.strip(): meaning.strip() for name, _, meaning in pairs}
