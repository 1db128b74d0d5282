"""Metadata that shows results in Dagster's UI."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg

BARS = " ▏▎▍▌▋▊▉█"
MOST_SHOWN = 400
"""Most characters of a message."""

REPORT_PAGE = "/report/index.html"
"""Path of the report on the web server of `ui`."""


def model_result(manifest: Mapping[str, Any], folder: Path) -> dg.MaterializeResult:
    """The result for a model: numbers and texts of its manifest. Its version is a hash of weights and tokenizer."""
    from selection_platform.models.provenance import model_identity

    shown = {key: value for key, value in manifest.items() if isinstance(value, int | float | str)}
    return dg.MaterializeResult(
        metadata={**shown, "folder": dg.MetadataValue.path(folder)},
        data_version=dg.DataVersion(model_identity(folder)),
    )


def markdown_picture(png: bytes, alternative: str) -> dg.MarkdownMetadataValue:
    """A picture inside the metadata. Keep it under 50 kB, because it is stored in Dagster's event log."""
    plain = alternative.translate(str.maketrans("[]\n", "() "))
    return dg.MetadataValue.md(f"![{plain}](data:image/png;base64,{base64.b64encode(png).decode()})")


def markdown_counts(counts: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """Counts by reason, the largest first."""
    if not counts:
        return dg.MetadataValue.md("none")
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dg.MetadataValue.md(
        "\n".join(["| | rows |", "|---|---:|", *(f"| {name} | {count:,} |" for name, count in rows)])
    )


def markdown_histogram(lowest: float, highest: float, bins: Mapping[int, int], count: int) -> dg.MarkdownMetadataValue:
    """A histogram as lines of text: where each of `count` equal bins starts, how many are in it, and a bar."""
    width = (highest - lowest) / count
    most = max(bins.values(), default=0)
    lines = [
        f"{lowest + width * index:>12.4g} {bins.get(index, 0):>9,} {_bar(bins.get(index, 0), most)}"
        for index in range(count if highest > lowest else 1)
    ]
    return dg.MetadataValue.md("\n".join(["```", *lines, "```"]))


def _bar(value: int, most: int, width: int = 24) -> str:
    eighths = round(8 * width * value / most) if most else 0
    return BARS[8] * (eighths // 8) + (BARS[eighths % 8] if eighths % 8 else "")


def partition_link(asset: str, partition: str) -> str:
    """A link to a partition's page in the UI, in Markdown."""
    return f"[{asset} {partition}](/assets/{quote(asset)}?view=partitions&partition={quote(partition, safe='')})"


def markdown_links(links: Sequence[str]) -> dg.MarkdownMetadataValue:
    """Links in one line."""
    return dg.MetadataValue.md(" · ".join(links))


def report_links(*names: str) -> dg.MarkdownMetadataValue:
    """Links to the named pages among the answer, the leaderboard and the report."""
    pages = {"answer": "/assets/verdict", "leaderboard": "/assets/leaderboard", "report": REPORT_PAGE}
    return markdown_links([f"[{name}]({pages[name]})" for name in names])


def markdown_picks(picks: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Some selected conversations, each with the start of its first question and of its last answer.

    Args:
        picks: rows of `sql/50_selections/first_picks.sql`.
    """
    return dg.MetadataValue.md("\n\n".join(map(_pick, picks)) or "none")


def _pick(pick: Mapping[str, Any]) -> str:
    score = "" if pick["score"] is None else f", score {pick['score']:.4g}"
    lines = [f"**{pick['position']:,}.** `{pick['sample_id']}`{score}"]
    return "\n\n".join([*lines, _quoted(pick["question"]), "its answer:", _quoted(pick["last_answer"])])


def _quoted(text: str) -> str:
    """The start of a text as an indented block, so that Markdown in it is not rendered and no picture is fetched."""
    start = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ..."
    return "\n".join(f"    {line}" for line in start.splitlines())
