"""The model card of an exported model: its base model, selection, training and results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import yaml

from selection_platform.text.printable import markdown_text
from selection_platform.text.tables import markdown_table

NORMAL_95 = 1.96
"""Half of a 95% interval of a normally distributed mean, in standard errors."""
PERCENT = 100
NOT_STATED = "not stated"


@dataclass(frozen=True)
class ModelCard:
    """The content of a card. Values of None are left out.

    Attributes:
        experiment: key of the experiment.
        hub_id: hub id of the base model, if it came from the hub.
        adapter: whether the folder only has an adapter.
        base: facts about the base model, by name.
        selection: facts about the selection, by name; empty for a base model.
        recipe: facts about the training, by name.
        made: versions and the warehouse's snapshot, by name.
        use: how to use the model, in paragraphs.
        results: rows of `sql/60_export/results.sql`; empty if this model was not evaluated.
        verdict: rows of `sql/60_export/verdict.sql`; empty if there is no verdict on these results.
        licences: rows of `sql/60_export/licences.sql`.
        disclaimer: the profile's disclaimer.
    """

    experiment: str
    hub_id: str | None
    adapter: bool
    base: Mapping[str, Any]
    selection: Mapping[str, Any]
    recipe: Mapping[str, Any]
    made: Mapping[str, Any]
    use: Sequence[str]
    results: pl.DataFrame
    verdict: pl.DataFrame
    licences: pl.DataFrame
    disclaimer: str | None


def model_card(card: ModelCard) -> str:
    """The card in Markdown, with the front matter that the Hugging Face hub reads.

    It states no licence for the model: that depends on the licences of the base model and the rows, and its owner must
    decide it. It does not list results for the hub's leaderboards, because a benchmark may be limited to some items.
    """
    sections = [
        f"---\n{yaml.safe_dump(_front_matter(card), sort_keys=False, allow_unicode=True)}---",
        f"# {card.experiment}",
        *([card.disclaimer] if card.disclaimer else []),
        *card.use,
        "## Base model",
        _facts(card.base),
        *(["## Selection", _facts(card.selection)] if card.selection else []),
        *(["## Training", _facts(card.recipe)] if card.recipe else []),
        "## Results",
        *_results(card),
        "## Licences",
        *_licences(card),
        "## Made with",
        _facts(card.made),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(card: ModelCard) -> dict[str, Any]:
    relation = {"base_model_relation": "adapter" if card.adapter else "finetune"} if card.recipe else {}
    return {
        **({"base_model": card.hub_id, **relation} if card.hub_id else {}),
        "library_name": "peft" if card.adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["selection-platform", *(["data-selection"] if card.selection else [])],
    }


def _facts(facts: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            *(f"| {name} | {markdown_text(value)} |" for name, value in facts.items() if value is not None),
        ]
    )


def _results(card: ModelCard) -> list[str]:
    if card.results.is_empty():
        return ["This model was not evaluated."]
    rows = [_result_row(row) for row in card.results.iter_rows(named=True)]
    text = [markdown_table(["benchmark", "metric", "value", "95% interval", "items"], rows)]
    text.append(
        "Benchmarks are in percent, held-out losses in bits per byte. Intervals are over the items, with 1.96 standard "
        "errors on either side. They do not include the variation between seeds."
    )
    if card.verdict.is_empty():
        return [*text, "There is no comparison with random selection."]
    compared = [_verdict_row(row) for row in card.verdict.iter_rows(named=True)]
    header = ["measure", "verdict", "difference", "95% interval", "runs of the arm", "random runs"]
    return [
        *text,
        "Compared with random selection, over all seeds of the arm; above 0 is better:",
        markdown_table(header, compared),
    ]


def _result_row(row: Mapping[str, Any]) -> list[str]:
    # Losses are in bits per byte; everything else is a share.
    unit = PERCENT if row["higher_is_better"] else 1
    digits = 2 if row["higher_is_better"] else 4
    value, error = row["value"] * unit, row["stderr"]
    width = None if error is None else NORMAL_95 * error * unit
    between = "not known" if width is None else f"{value - width:.{digits}f} to {value + width:.{digits}f}"
    return [row["benchmark"], row["metric"], f"{value:.{digits}f}", between, f"{row['items']:,}"]


def _verdict_row(row: Mapping[str, Any]) -> list[str]:
    between = "not known" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}"
    difference = "not known" if row["difference"] is None else f"{row['difference']:.4g}"
    return [row["measure"], row["verdict"], difference, between, str(row["arm_runs"]), str(row["random_runs"])]


def _licences(card: ModelCard) -> list[str]:
    base = card.base.get("licence")
    text = [f"Base model: {markdown_text(base)}." if base else "Base model: its files state no licence."]
    if card.licences.is_empty():
        return text
    rows = [
        [markdown_text(source or NOT_STATED), markdown_text(licence or NOT_STATED), f"{count:,}"]
        for source, licence, count in card.licences.iter_rows()
    ]
    text += ["Rows that it was trained on:", markdown_table(["source", "licence", "rows"], rows)]
    if card.licences["licence"].null_count():
        text.append("Some rows have no known licence: find out what you may do with them before you share the model.")
    return text
