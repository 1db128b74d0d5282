"""Trees of messages, such as OpenAssistant's: one message per row, with the id of the message that it replies to.

A tree becomes one conversation: the first message, and at each step the best-ranked reply. All rows of the pool are in
memory at once: their JSON text, and about a kilobyte more per row.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selection_platform.job.progress import progress
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.notes import LeftOut, Notes
from selection_platform.pools.forms.texts import kind_of
from selection_platform.pools.raw_pool import RAW_SCHEMA
from selection_platform.pools.shards import ShardWriter, read_rows

TREE = "tree of messages"
"""Key that is added to a tree's row next to `messages`: what happened to the tree."""

DELETED = "deleted messages"
UNREVIEWED = "messages that passed no review"
LOWER = "lower-ranked replies"
ORPHAN = "reply to a message that is not in the pool"

Row = dict[str, Any]


@dataclass(slots=True)
class _Node:
    """A message: its row, its rank among its siblings (lower is better), and why it is left out, if it is."""

    row: Row
    parent: str | None
    rank: float
    flaw: str | None
    replies: list["_Node"] = field(default_factory=list)


def write_trees(raw_folder: Path, folder: Path) -> Path:
    """Write one row per tree of a finished raw pool, as shards of raw rows in a folder, and return the folder."""
    writer = ShardWriter(folder, RAW_SCHEMA)
    for row in tree_rows(read_rows(raw_folder)):
        writer.add(row, len(row["record"]))
    writer.flush()
    return folder


def tree_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """One row per tree, in the order of their first messages, with the fields of the first message.

    Args:
        rows: `file`, `row` and `record`, the JSON text of a message.

    Returns:
        Such rows, whose records also have the conversation's `messages` and the key that `take_tree` reads. A row that
        is not a message of a tree is returned with its problem.
    """
    nodes: dict[str, _Node] = {}
    with progress("reading trees", None, "messages") as bar:
        for row in rows:
            bar.advance()
            message = _parsed(row)
            problem = _problem(message, nodes)
            if problem is not None:
                yield {**row, "record": json.dumps({**message, TREE: {"problem": problem}})}
            else:
                nodes[message["message_id"]] = _node(row, message)
    for node in nodes.values():
        if node.parent in nodes:
            nodes[node.parent].replies.append(node)
    roots = [node for node in nodes.values() if node.parent not in nodes]
    for root in roots:
        yield _conversation(root)
    for node in _in_circles(nodes, roots):
        yield _with(node, {"problem": ["replies in a circle", "parent_id", "leads back to the message", "repair it"]})


def take_tree(unread: dict[str, Any], notes: Notes) -> None:
    """Take the outcome of its tree out of a row.

    Raises:
        BadRow: the row is not a message of a tree.
        LeftOut: its first message is left out.
    """
    problem = {"problem": ["not a tree", None, "is not a message of a tree", "leave `form: tree` out"]}
    outcome = unread.pop(TREE, problem)
    if "problem" in outcome:
        raise BadRow(*outcome["problem"])
    if "dropped" in outcome:
        raise LeftOut(outcome["dropped"])
    for part in outcome["left_out"]:
        notes.left_out(part)


def _parsed(row: Row) -> dict[str, Any]:
    try:
        return json.loads(row["record"])
    except RecursionError:
        return {}


def _problem(message: dict[str, Any], nodes: dict[str, _Node]) -> list[str] | None:
    """Reason, field, problem and fix of a row that is not a message of a tree; None if it is one."""
    name, parent = message.get("message_id"), message.get("parent_id")
    if not isinstance(name, str):
        return ["no message of a tree", "message_id", f"is {kind_of(name)}, not a string", "give each message an id"]
    if name in nodes:
        return ["a message_id occurs twice", "message_id", f"is {name}, as in an earlier row", "remove the copy"]
    if parent is not None and not isinstance(parent, str):
        return ["no message of a tree", "parent_id", f"is {kind_of(parent)}, not a string or null", "write an id"]
    return None


def _node(row: Row, message: dict[str, Any]) -> _Node:
    rank = message.get("rank")
    if not isinstance(rank, int | float) or (isinstance(rank, float) and not math.isfinite(rank)):
        rank = math.inf
    flaw = DELETED if message.get("deleted") else None
    if flaw is None and "review_result" in message and message["review_result"] is not True:
        flaw = UNREVIEWED
    return _Node(row, message.get("parent_id"), rank, flaw)


def _conversation(root: _Node) -> Row:
    """The row of a tree."""
    if root.parent is not None:
        return _with(root, {"dropped": ORPHAN})
    if root.flaw is not None:
        return _with(root, {"dropped": root.flaw})
    path, left_out = [root], dict[str, None]()
    while replies := path[-1].replies:
        good = [reply for reply in replies if reply.flaw is None]
        left_out.update({str(reply.flaw): None for reply in replies if reply.flaw is not None})
        if not good:
            break
        if len(good) > 1:
            left_out[LOWER] = None
        # Among replies of the same rank, such as questions, which have no rank, take one that was answered.
        path.append(min(good, key=lambda reply: (reply.rank, all(inner.flaw for inner in reply.replies))))
    return _with(root, {"left_out": list(left_out)}, path)


def _with(node: _Node, outcome: dict[str, Any], path: Iterable[_Node] = ()) -> Row:
    messages = [json.loads(step.row["record"]) for step in path]
    record = {**json.loads(node.row["record"]), "messages": messages, TREE: outcome}
    return {**node.row, "record": json.dumps(record)}


def _in_circles(nodes: dict[str, _Node], roots: list[_Node]) -> list[_Node]:
    """Messages that cannot be reached from a first message."""
    reached: set[int] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        reached.add(id(node))
        waiting += node.replies
    return [node for node in nodes.values() if id(node) not in reached]
