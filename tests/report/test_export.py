import json

import polars as pl
import pytest

from selection_platform.report.export import data_card, export_selection

MESSAGES = [{"role": "user", "content": "Hi\u2028there"}, {"role": "assistant", "content": "Grüße"}]
ROWS = pl.DataFrame(
    {
        "position": [1, 2],
        "sample_id": ["b", "a"],
        "source": ["chat", "chat"],
        "licence": ["MIT", None],
        "messages": [MESSAGES, MESSAGES],
    }
)
FACTS = {"experiment": "ifd/p/m/2/s0", "seed": 0, "budget": None}


def test_every_format_holds_the_same_rows_in_rank_order(tmp_path):
    from datasets import Dataset, load_from_disk

    jsonl, parquet, dataset, card = export_selection(ROWS, FACTS, tmp_path, ("jsonl", "parquet", "dataset"))
    lines = jsonl.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines if line] == ROWS.to_dicts()
    assert pl.read_parquet(parquet).equals(ROWS)
    loaded = load_from_disk(str(dataset))
    assert isinstance(loaded, Dataset)
    assert loaded.to_list() == ROWS.to_dicts()
    assert card == tmp_path / "README.md"


def test_the_card_counts_sources_and_warns_of_missing_licences(tmp_path):
    *_, card = export_selection(ROWS, FACTS, tmp_path, ())
    text = card.read_text()
    assert text.startswith("# ifd/p/m/2/s0\n\n2 conversations,")
    assert "| chat | 2 |" in text
    assert "| not stated | 1 |" in text
    assert "| seed | 0 |" in text
    assert "budget" not in text
    assert "Some rows have no stated licence" in text


def test_a_second_export_replaces_the_first(tmp_path):
    export_selection(ROWS, FACTS, tmp_path, ("dataset",))
    export_selection(ROWS.head(1), FACTS, tmp_path, ("jsonl", "dataset"))
    assert pytest.importorskip("datasets").load_from_disk(str(tmp_path / "dataset")).num_rows == 1


def test_what_a_row_says_is_a_text_on_the_card():
    evil = "<script>x</script> | 9 |\n| [free](http://a)\u202e"
    rows = ROWS.with_columns(source=pl.lit(evil), licence=pl.lit(evil))
    card = data_card(rows, {**FACTS, "profile": evil})
    expected = "&lt;script&gt;x&lt;/script&gt; \\| 9 \\| \\| \\[free\\](http://a)"
    assert card.count(f"| {expected} | 2 |") == 2
    assert f"| profile | {expected} |" in card
    assert "<script" not in card
