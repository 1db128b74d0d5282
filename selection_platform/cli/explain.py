"""The command that explains one sample: its text, scores, cluster and neighbours, and which experiments selected it."""

import argparse
import re
from collections.abc import Callable
from functools import partial
from os.path import normpath
from typing import TYPE_CHECKING, Any

from selection_platform.cli.output import print_table
from selection_platform.cli.shared import Commands, add_json, open_resources, print_json
from selection_platform.cli.terminal_text import WIDTH, first_line, shown, wrapped
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.text.conversation import to_messages
from sql.queries import load_sql

if TYPE_CHECKING:
    from resources.artifact_store import ArtifactStore

NEIGHBOURS = 5
LISTED_IDS = 5
CUT_MESSAGE = 600
"""Most characters of a message that are shown without --full."""
SHORT_ID = 12
"""Characters of an id in a list: enough to name one of many millions."""

Rows = list[dict[str, Any]]


def add_parsers(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explain",
        help="show one sample: its text, its score by each method, and who selected it",
        epilog="Example: selection-platform explain chats.jsonl:17",
    )
    parser.add_argument(
        "sample_id",
        metavar="SAMPLE_ID",
        help="id of a sample or enough of its beginning, or FILE:ROW, as in the pool's source",
    )
    parser.add_argument("--full", action="store_true", help="show long messages in full")
    add_json(parser)
    parser.set_defaults(command=explain)


def explain(profile: Profile, options: argparse.Namespace) -> None:
    """Print a sample's text, its score by each method, its nearest samples, and which experiments selected it."""
    resources = open_resources(profile)
    with resources.warehouse.read() as connection:

        def rows(name: str, **values: object) -> Rows:
            return connection.execute(load_sql(name), values).pl().to_dicts()

        if place := re.fullmatch(r"(.+):(\d+)", options.sample_id):
            sample_id = _id_of_row(rows, profile, resources.artifacts, place[1], int(place[2]))
        else:
            sample_id = _whole_id(rows, options.sample_id)
        tables = {name for name, _, _ in connection.execute(load_sql("00_warehouse/columns")).fetchall()}
        facts = {
            "sample_id": sample_id,
            "pools": rows("60_explain/conversations", sample_id=sample_id),
            "tokens": rows("60_explain/tokens", sample_id=sample_id),
            "scores": [
                {"method": method.name, **score}
                for method in profile.methods.values()
                # The table of a method that is new to this warehouse is created by the first write.
                if method.scored_per is not None and method.table in tables
                for score in rows("60_explain/score", table=method.table, sample_id=sample_id)
            ],
            "clusters": rows("60_explain/clusters", sample_id=sample_id),
            "neighbours": rows("60_explain/neighbours", sample_id=sample_id, most=NEIGHBOURS),
            "selected_by": rows("60_explain/selected_by", sample_id=sample_id),
        }
    if options.json:
        print_json(facts)
        return
    _print_text(facts, None if options.full else CUT_MESSAGE)
    _print_scores(facts["scores"])
    _print_surroundings(facts["clusters"], facts["neighbours"])
    _print_selections(facts["selected_by"])


def _whole_id(rows: Callable[..., Rows], prefix: str) -> str:
    """The id that begins with a prefix.

    Raises:
        PlatformError: no id or several ids begin with it.
    """
    ids = [row["sample_id"] for row in rows("60_explain/ids", prefix=prefix, most=LISTED_IDS + 1)]
    if len(ids) == 1 or prefix in ids:
        return ids[0]
    if ids:
        more = "\n  ..." if len(ids) > LISTED_IDS else ""
        listed = "".join(f"\n  {sample_id}" for sample_id in ids[:LISTED_IDS])
        raise PlatformError(f"several samples have an id that begins with {prefix!r}; give more of it:{listed}{more}")
    nearest = [row["sample_id"] for row in rows("60_explain/nearest_ids", prefix=prefix, most=LISTED_IDS)]
    if not nearest:
        raise PlatformError("there are no samples yet: run `selection-platform run` first")
    listed = "".join(f"\n  {sample_id}" for sample_id in nearest)
    raise PlatformError(
        f"no sample has an id that begins with {prefix!r}; the nearest are{listed}\n"
        "To explain a row of your file: selection-platform explain FILE:ROW\n"
        'To find ids: selection-platform sql "FROM selections.samples LIMIT 10"'
    )


def _id_of_row(rows: Callable[..., Rows], profile: Profile, artifacts: "ArtifactStore", file: str, row: int) -> str:
    """The id of the row FILE:ROW.

    Raises:
        PlatformError: no sample or several samples come from it.
    """
    wanted = normpath(file)
    files = [each["file"] for each in rows("60_explain/files", file=wanted)]
    # A whole name goes before the end of a longer one.
    ids = rows("60_explain/ids_of_row", files=[wanted] if wanted in files else files, row=row)
    if not ids:
        raise PlatformError(_why_not_there(rows, profile, artifacts, wanted, row))
    if len({each["sample_id"] for each in ids}) > 1:
        listed = "".join(f"\n  {each['sample_id']}  {each['pool']}, {each['file']}" for each in ids[:LISTED_IDS])
        raise PlatformError(f"several samples come from row {row} of such a file; take an id:{listed}")
    return ids[0]["sample_id"]


def _why_not_there(
    rows: Callable[..., Rows], profile: Profile, artifacts: "ArtifactStore", wanted: str, row: int
) -> str:
    """For each pool that has such a file, why it has no sample of the row."""
    from selection_platform.evaluation.benchmark_data import benchmark_texts
    from selection_platform.job.folder import read_manifest
    from selection_platform.pools.dropped_row import why_dropped

    def row_of(pool: str, sample_id: str) -> str | None:
        kept = (each for each in rows("60_explain/conversations", sample_id=sample_id) if each["pool"] == pool)
        return next((f"{each['file']}:{each['file_row']}" for each in kept), None)

    manifests = {pool: read_manifest(artifacts.raw_pool(pool)) or {"files": {}} for pool in profile.pools}
    places = [(pool, name) for pool, manifest in manifests.items() for name in manifest["files"]]
    whole = [(pool, name) for pool, name in places if name == wanted]
    reasons: list[str] = []
    for pool, name in whole or [(pool, name) for pool, name in places if name.endswith(f"/{wanted}")]:
        texts = benchmark_texts(artifacts.benchmark_data())
        settings, raw_folder = profile.pools[pool], artifacts.raw_pool(pool)
        why = why_dropped(settings, raw_folder, texts, (name, row), partial(row_of, pool))
        reasons.append(f"{name}:{row} is not in the pool {pool}: {why}")
    return "\n".join(reasons) or (
        f"no pool has a file {wanted!r}; the names of files: "
        'selection-platform sql "SELECT DISTINCT file FROM pools.samples"'
    )


def _print_text(facts: dict[str, Any], most: int | None) -> None:
    print(f"Sample {facts['sample_id']}")
    for pool in facts["pools"]:
        split = "" if pool["split"] == "samples" else f", in the split {pool['split']}, so it is never selected"
        print(
            f"  {pool['pool']}{split}: source {first_line(pool['source'], WIDTH)}, "
            f"licence {first_line(pool['licence'], WIDTH) or 'not stated'}, "
            f"{pool['turns']} turn{'s' * (pool['turns'] != 1)}, {pool['characters']:,} characters"
        )
        if pool.get("file"):
            print(f"  {first_line(pool['file'], WIDTH)}:{pool['file_row']}")
    for tokens in facts["tokens"]:
        print(
            f"  {tokens['prompt_tokens']:,} tokens in the prompt and {tokens['answer_tokens']:,} in the last answer "
            f"({tokens['pool']}, {tokens['model']})"
        )
    # The id is a hash of the messages, so they are the same in every pool.
    first = facts["pools"][0]
    for message in to_messages(first["messages"], first.get("untrained")):
        print(f"\n{message.role}{'' if message.trained else ', not trained on'}\n{shown(message.content, most)}")


def _print_scores(scores: Rows) -> None:
    for pool, model in dict.fromkeys((score["pool"], score["model"]) for score in scores):
        of_part = [score for score in scores if (score["pool"], score["model"]) == (pool, model)]
        print(f"\nScores in {pool}, {'for any model' if model is None else f'by {model}'}\n")
        scored = [score for score in of_part if score["score"] is not None]
        if scored:
            header = ["method", "score", "rank", "scored", "percentile"]
            print_table(header, [_score_cells(score) for score in scored], plain=True)
        without = [score for score in of_part if score["score"] is None]
        for reason in dict.fromkeys(score["dropped"] for score in without):
            names = ", ".join(_name(score) for score in without if score["dropped"] == reason)
            print(wrapped(f"no score from {names}: {reason}"))


def _score_cells(score: dict[str, Any]) -> list[str]:
    best = score["rank"]
    rank = f"{best:,}" if score["tied"] == 1 else f"{best:,} to {best + score['tied'] - 1:,}"
    return [_name(score), f"{score['score']:.6g}", rank, f"{score['scored']:,}", f"{score['percentile']:.1f}"]


def _name(score: dict[str, Any]) -> str:
    """The method, and which of its scores."""
    seed = "" if score["seed"] is None else f" s{score['seed']}"
    return score["method"] + seed + ("" if score["budget"] is None else f" of {score['budget']:,}")


def _print_surroundings(clusters: Rows, neighbours: Rows) -> None:
    for cluster in clusters:
        share = cluster["cluster_size"] / cluster["samples"]
        print()
        print(
            wrapped(
                f"Cluster {cluster['cluster']} of {cluster['pool']}, {cluster['model']}: {cluster['cluster_size']:,} "
                f"of {cluster['samples']:,} samples ({share:.1%}); {cluster['nearer']:,} of them are nearer to its "
                "centre"
            )
        )
    for pool, model in dict.fromkeys((row["pool"], row["model"]) for row in neighbours):
        print(f"\nNearest in {pool} by the embeddings of {model} (cosine, id, first question)")
        for row in neighbours:
            if (row["pool"], row["model"]) == (pool, model):
                start = f"  {row['similarity']:.4f}  {row['sample_id'][:SHORT_ID]}  "
                print(start + first_line(row["question"], WIDTH - len(start)))


def _print_selections(selected_by: Rows) -> None:
    print(f"\nSelected by {len(selected_by)} experiment{'s' * (len(selected_by) != 1)}")
    for row in selected_by:
        place = "all" if row["budget"] is None else f"{row['position']:,} of {row['size']:,}"
        print(f"  {place:>16}  {row['experiment']}")
