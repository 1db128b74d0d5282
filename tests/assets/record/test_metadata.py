"""What a page of the UI shows, and where it leads."""

import dagster as dg
import pytest

from assets.keys import CHECKPOINT, SELECTION
from assets.record.metadata import markdown_picks, partition_link
from assets.record.provenance import latest_provenance
from orchestration.materialize import open_instance
from sql.queries import load_sql
from tests.small_run import ENTROPY, RANDOM


def shown(place, asset, partition=None):
    with open_instance(place.home) as instance:
        return latest_provenance(instance, asset)[partition].metadata


@pytest.mark.data
def test_pages_lead_to_what_they_were_made_from(finished):
    scores = "[scores/entropy letters/tiny](/assets/scores/entropy?view=partitions&partition=letters%2Ftiny)"
    for asset in (CHECKPOINT, SELECTION):
        assert str(shown(finished, asset, ENTROPY)["made from"]).startswith(scores)
    assert "[scores/random letters](" in str(shown(finished, CHECKPOINT, RANDOM[0])["made from"])
    assert "scores" not in str(shown(finished, CHECKPOINT, "base/tiny")["made from"])


@pytest.mark.data
def test_a_selection_shows_what_it_picks_first(finished):
    text = str(shown(finished, SELECTION, ENTROPY)["picked first"])
    assert text.startswith("**1.** `")
    assert text.count("    Write about a ") == 3
    assert text.count("    Here is a text. ") == 3
    assert shown(finished, SELECTION, "base/tiny")["picked first"] == "none"


@pytest.mark.data
def test_the_verdict_begins_with_its_sentence(finished):
    metadata = shown(finished, dg.AssetKey("verdict"))
    assert next(iter(metadata)) == "answer"
    report = shown(finished, dg.AssetKey("report"))
    assert str(metadata["answer"]).split("\n")[0] == str(report["answer"]).split("\n")[0]
    for asset in ("verdict", "leaderboard"):
        assert "(/report/index.html)" in str(shown(finished, dg.AssetKey(asset))["see"])


@pytest.mark.slow
def test_a_pick_shows_the_question_and_not_the_system_message(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "warehouse")
    turns = [("system", "Be brief."), ("user", "Why?"), ("assistant", "So."), ("user", "And?"), ("assistant", "Thus.")]
    messages = [{"role": role, "content": content} for role, content in turns]
    pool = "SELECT unnest(['a', 'b']) AS sample_id, unnest([$whole, $whole[2:]]) AS messages"
    warehouse.replace("pools.samples", {"pool": "p"}, pool, {"whole": messages})
    picked = "SELECT unnest(['a', 'b']) AS sample_id, unnest([1, 2]) AS position"
    warehouse.replace("selections.samples", {"experiment": "e"}, picked)
    rows = warehouse.query(load_sql("50_selections/first_picks"), {"experiment": "e", "pool": "p", "count": 3})
    picks = rows.to_dicts()
    assert [(pick["question"], pick["last_answer"]) for pick in picks] == [("Why?", "Thus.")] * 2
    shown = str(markdown_picks(picks[:1]).value)
    assert shown == "**1.** `a`\n\n    Why?\n\nits answer:\n\n    Thus."


def test_what_stands_in_a_conversation_is_shown_as_it_is():
    evil = "![x](http://evil.example)\n```\n# title" + "y" * 500
    text = markdown_picks([{"position": 1, "sample_id": "a", "score": None, "question": evil, "last_answer": ""}])
    lines = str(text.value).splitlines()
    assert "    ![x](http://evil.example)" in lines
    assert all(line.startswith("    ") for line in lines if "evil" in line or "title" in line or "```" in line)
    assert len(max(lines, key=len)) < 450


def test_a_link_names_the_partition_as_an_address_may():
    assert (
        partition_link("scores/zip", "a b@80")
        == "[scores/zip a b@80](/assets/scores/zip?view=partitions&partition=a%20b%4080)"
    )
