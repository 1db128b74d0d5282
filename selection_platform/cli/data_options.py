"""The options that say where data is and how its rows are read."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, get_args

from selection_platform.configuration.new_profile import source_of
from selection_platform.configuration.pool_settings import Form
from selection_platform.errors import PlatformError
from selection_platform.pools.forms.texts import MISSING, NO_ROLE, OF_A_ROLE, OF_THE_FORM, OF_THE_ROW

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


@contextmanager
def options_named() -> Iterator[None]:
    """Within the block, errors name the command's options instead of settings: there is no profile yet."""
    try:
        yield
    except PlatformError as error:
        raise PlatformError(with_options(str(error))) from error


def with_options(message: str) -> str:
    """A message about a row, with the command's options in place of the pool's settings.

    It comes as text: rows are read in other processes, whose messages are counted and kept.
    """
    message = message.replace(OF_THE_FORM, _FORM_OPTIONS)
    return _UNKNOWN_ROLE.sub(_roles_option, _MISSING_FIELD.sub(_field_options, message))


def _pattern(problem: str, fix: str) -> re.Pattern[str]:
    """Finds a problem with its fix. What stands for each {} is a group; the first, a name, ends before a space."""
    parts = re.escape(problem).replace(re.escape("{}"), r"(\S+)", 1).replace(re.escape("{}"), "(.*?)")
    return re.compile(parts + re.escape(f"; {fix}"))


_FORM_OPTIONS = (
    "name the list of messages with --form and --column, or question and answer with --columns prompt=...,answer=..."
)
_MISSING_FIELD = _pattern(f"{{}}: {MISSING}", OF_THE_ROW)
_UNKNOWN_ROLE = _pattern(NO_ROLE, OF_A_ROLE)


def _field_options(found: re.Match[str]) -> str:
    name, fields = found.groups()
    near = get_close_matches(name, fields.split(", "), n=1)
    suggestion = f"; did you mean {near[0]!r}?" if near else ";"
    return (
        f"{name}: {MISSING.format(fields)}{suggestion} name the fields with --column or --columns, or leave "
        "out these and --form to have the form recognised"
    )


def _roles_option(found: re.Match[str]) -> str:
    name, known = found.groups()
    # Only such a name can be written in the option as it is.
    plain = name[1:-1] if re.fullmatch(r"'\w[\w-]*'", name) else "customer"
    return (
        f"{NO_ROLE.format(name, known)}; say what the role names of the data mean (user, assistant or system), such as "
        f"--roles {plain}=user,OTHER=assistant"
    )


def _pairs(text: str) -> dict[str, str]:
    """The names before and after the equals signs.

    Raises:
        argparse.ArgumentTypeError: the text is not NAME=NAME,...
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NAME,..., such as prompt=question,answer=reply")
    return {name.strip(): meaning.strip() for name, _, meaning in pairs}
