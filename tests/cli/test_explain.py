"""explain, diff and the cookbook's questions, asked of a small run that was really made."""

import json
import re

import pytest

from selection_platform.cli.cookbook import questions
from selection_platform.cli.main import main
from tests.small_run import ENTROPY, RANDOM, TOKEN_LENGTH, OwnPlace, conversations, output_of

ANSWERS = {
    "agreement": {"pool": "letters"},
    "changed_scores": {"snapshot": "1"},
    "cheaper_scorers": {},
    "cut_answers": {},
    "dropped_rows": {"pool": "letters"},
    "flipped_items": {"experiment": ENTROPY},
    "kmeans_twins": {},
    "long_answers": {"pool": "letters"},
    "other_budget": {"pool": "letters", "method": "token_length", "budget": "8"},
    "oversampled_clusters": {"pool": "letters"},
    "passed_over": {"pool": "letters", "method": "entropy"},
    "random_overlap": {},
    "sources": {"pool": "letters"},
    "ties": {"method": "token_length"},
    "training_tokens": {"pool": "letters"},
}


def rows(capsys, place, statement):
    return json.loads(output_of(capsys, place, "sql", statement, "--json"))


def selected(capsys, place, experiment):
    statement = f"SELECT sample_id FROM selections.samples WHERE experiment = '{experiment}' ORDER BY position"
    return [row["sample_id"] for row in rows(capsys, place, statement)]


def test_a_sample_is_explained(place, capsys):
    first = selected(capsys, place, TOKEN_LENGTH)[0]
    found = json.loads(output_of(capsys, place, "explain", first, "--json"))
    (sample,) = rows(capsys, place, f"FROM pools.samples WHERE sample_id = '{first}'")
    assert found["pools"] == [{"split": "samples", **{k: v for k, v in sample.items() if k != "sample_id"}}]
    by_method = {(score["method"], score["seed"]): score for score in found["scores"]}
    assert by_method.keys() == {("random", 0), ("random", 1), ("token_length", None), ("entropy", None)}
    length = by_method["token_length", None]
    assert (length["rank"], length["score"]) == (1, found["tokens"][0]["answer_tokens"])
    chosen = {row["experiment"]: row["position"] for row in found["selected_by"]}
    assert chosen[TOKEN_LENGTH] == 1
    assert (ENTROPY in chosen) == (first in selected(capsys, place, ENTROPY))

    text = output_of(capsys, place, "explain", first[:12])
    assert text.startswith(f"Sample {first}\n  letters: source ")
    assert "assistant\n  Here is a text." in text
    assert f"1 of 6  {TOKEN_LENGTH}\n" in text
    assert max(map(len, text.splitlines())) <= 100


def test_long_messages_are_cut_and_counted(place, capsys, monkeypatch):
    monkeypatch.setattr("selection_platform.cli.explain.CUT_MESSAGE", 10)
    first = selected(capsys, place, TOKEN_LENGTH)[0]
    (sample,) = rows(capsys, place, f"SELECT messages FROM pools.samples WHERE sample_id = '{first}'")
    answer = sample["messages"][-1]["content"]
    text = output_of(capsys, place, "explain", first)
    assert f"  Here is a\n  ... {len(answer) - 10} more characters (--full shows all)" in text
    assert "--full" not in output_of(capsys, place, "explain", first, "--full")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["explain", "xyz"],
            r"no sample has an id that begins with 'xyz'; the nearest are(\n  [0-9a-f]{32}){5}\n"
            r"To explain .*\nTo find ids: .*sql",
        ),
        (
            ["explain", ""],
            r"several samples have an id that begins with ''; give more of it:(\n  [0-9a-f]{32}){5}\n  \.\.\.",
        ),
        (
            ["sql", "@tie"],
            r"no question '@tie' in the cookbook; its questions are\n  @agreement +Which(.|\n)*"
            r"  @ties +Does .*\? \(needs method\)\n",
        ),
        (["sql", "@ties"], r"the statement has parameters without a value; add --set method=VALUE"),
        (["sql", "@ties", "--set", "method=x", "--set", "pol=1"], r"--set pol: the statement has no such .* \$method"),
    ],
)
def test_wrong_requests_name_the_mend(place, capsys, arguments, message):
    assert main(["--profile", str(place.profile), *arguments]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_two_selections_side_by_side(place, capsys):
    one, other = (set(selected(capsys, place, key)) for key in (TOKEN_LENGTH, ENTROPY))
    found = json.loads(output_of(capsys, place, "diff", TOKEN_LENGTH, ENTROPY, "--json"))
    sizes = {row["side"]: row["samples"] for row in found["groups"]}
    (pool,) = rows(capsys, place, "SELECT count(*) AS samples FROM pools.samples")
    expected = {"only_one": one - other, "only_other": other - one, "both": one & other}
    assert sizes == {side: len(ids) for side, ids in expected.items() if ids} | {"pool": pool["samples"]}
    assert {row["sample_id"] for row in found["examples"]} <= one ^ other
    text = output_of(capsys, place, "diff", TOKEN_LENGTH, ENTROPY)
    assert f"A  {TOKEN_LENGTH} selects 6 samples.\nB  {ENTROPY} selects 6.\nThey share {len(one & other)} (" in text
    assert "tokens of last answer, median" in text
    assert max(map(len, text.splitlines())) <= 100
    everything = output_of(capsys, place, "diff", TOKEN_LENGTH, TOKEN_LENGTH)
    assert "They share 6 (100.0%)" in everything
    assert "Only A" not in everything


def test_every_question_is_answered(place, capsys):
    assert questions().keys() == ANSWERS.keys()
    found = {}
    for name, values in ANSWERS.items():
        given = [each for item in values.items() for each in ("--set", "=".join(item))]
        found[name] = json.loads(output_of(capsys, place, "sql", f"@{name}", *given, "--json"))
    draws = [set(selected(capsys, place, key)) for key in RANDOM[:2]]
    assert [row["shared"] for row in found["random_overlap"]] == [len(draws[0] & draws[1])]
    shares = {row["experiment"]: row["percent_of_the_longest"] for row in found["long_answers"]}
    assert shares[TOKEN_LENGTH] == 100
    assert [row["sample_id"] for row in found["other_budget"]][:6] == selected(capsys, place, TOKEN_LENGTH)
    assert sum(row["selected_now"] for row in found["other_budget"]) == 6
    total = sum(row["rows"] for row in found["dropped_rows"])
    assert total == 60
    # What the small profile does not make has no answer, and is no fault.
    empty = ["kmeans_twins", "cut_answers", "oversampled_clusters", "changed_scores", "cheaper_scorers"]
    assert [name for name in empty if found[name] != []] == []
    listed = rows(capsys, place, "@")
    assert [row["name"] for row in listed] == [f"@{name}" for name in sorted(ANSWERS)]


def test_a_sample_is_found_by_its_row_in_the_file(place, capsys):
    (one, *_) = rows(capsys, place, "FROM pools.samples ORDER BY file_row DESC LIMIT 1")
    named = f"{place.pool.name}:{one['file_row']}"
    found = json.loads(output_of(capsys, place, "explain", named, "--json"))
    assert found["sample_id"] == one["sample_id"]
    assert f"{one['file']}:{one['file_row']}\n" in output_of(capsys, place, "explain", named)
    assert json.loads(output_of(capsys, place, "explain", f"./{named}", "--json"))["sample_id"] == one["sample_id"]
    for wrong, message in {
        "letters.jsonl:0": f"{one['file']}:0 is not in the pool letters: the file has no such row\n",
        "letter.jsonl:1": "no pool has a file 'letter.jsonl'; the names of files: ",
    }.items():
        assert main(["--profile", str(place.profile), "explain", wrong]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_row_that_was_dropped_has_the_words_of_init(tmp_path, monkeypatch, capsys):
    place = OwnPlace(tmp_path, monkeypatch)
    messages = conversations(4, seed=0)
    rows = [*({"messages": row} for row in [*messages, messages[2]]), {"messages": messages[3][:1]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "rows.jsonl").write_text(json.dumps(rows[0]))
    pools = {"mine": {"source": {"files": ["rows.jsonl", "copy/rows.jsonl"]}, "on_bad_row": "skip"}}
    profile = {"pools": pools, "budgets": [2], "arms": {"random": {"train": False}}}
    place.profile.write_text(json.dumps(profile))
    output_of(capsys, place, "run")
    monkeypatch.chdir(tmp_path)
    assert main(["init", "rows.jsonl", "--to", "again.yaml"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for row, reason in {6: "no question with an answer", 7: "not JSON"}.items():
        assert f"1 dropped: {reason} for example, " in said
        assert main(["--profile", str(place.profile), "explain", f"rows.jsonl:{row}"]) == 1
        first, example = capsys.readouterr().err.splitlines()
        assert first == f"selection-platform: rows.jsonl:{row} is not in the pool mine: {reason}"
        assert example.split(", ", 1)[1] in said
    for place_of, earlier in {"rows.jsonl:5": "rows.jsonl:3", "copy/rows.jsonl:1": "rows.jsonl:1"}.items():
        assert main(["--profile", str(place.profile), "explain", place_of]) == 1
        expected = f"{place_of} is not in the pool mine: duplicate of an earlier row, {earlier}\n"
        assert capsys.readouterr().err == f"selection-platform: {expected}"


def test_a_single_pool_need_not_be_named(place, capsys):
    named = output_of(capsys, place, "sql", "@dropped_rows", "--set", "pool=letters")
    assert output_of(capsys, place, "sql", "@dropped_rows") == named
