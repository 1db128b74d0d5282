"""One thing changes at a time: what `status` says, what `refresh` really makes again, and that nothing is due then."""

import hashlib
import json
import os
import shutil

import pytest
import yaml

from assets.record import asset, score_table
from orchestration.staleness import _changed_settings
from resources import build_resources
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile
from selection_platform.features import token_count
from selection_platform.job.folder import begin_again, made_again
from selection_platform.pools.splits import split_of
from selection_platform.text import paper_text, rendering
from selection_platform.text.conversation import to_messages
from sql.queries import load_sql
from tests.small_run import (
    ENTROPY,
    FORWARD_PASS,
    PROFILE,
    RANDOM,
    REPORTS,
    RESULT_REPORTS,
    SELECTION_REPORTS,
    TOKEN_LENGTH,
    TRAINED,
    change_profile,
    conversations,
    due,
    each,
    output_of,
    refreshed,
    status,
    version,
    write_pool,
)

pytestmark = pytest.mark.data


RANDOM_SQL = "40_scores/random"


def replace_method(monkeypatch, statement):
    """The asset of `token_length` as if its author had changed the statement."""

    def load(name):
        sql = load_sql(name)
        return sql.replace("END::DOUBLE AS score", statement) if name == "40_scores/token_length" else sql

    for module in (asset, score_table):
        monkeypatch.setattr(module, "load_sql", load)


def test_after_a_run_nothing_is_due(place, capsys):
    now = status(capsys, place)
    assert now["due"] == []
    assert now["removed"] == []
    assert now["downstream"] == 0
    # pools, model, features, scores, selections, checkpoints, results, reports
    assert now["partitions"] == 4 + 1 + 2 + 3 + 3 * (1 + len(TRAINED)) + len(REPORTS)
    assert refreshed(capsys, place) == set()


def test_new_code_that_chooses_the_same_ids_trains_nothing(place, capsys, monkeypatch):
    replace_method(monkeypatch, "END::DOUBLE * 2 AS score")
    ((step, (kind, (cause,))),) = due(capsys, place).items()
    assert (step, kind) == ("scores/token_length letters/tiny", "stale")
    assert cause.startswith("code version 1, sql ")
    assert refreshed(capsys, place) == {"scores/token_length letters/tiny", f"selection {TOKEN_LENGTH}"}
    assert due(capsys, place) == {}


def test_new_code_with_the_same_scores_goes_no_further(place, capsys, monkeypatch):
    replace_method(monkeypatch, "END::DOUBLE * 1 AS score")
    assert refreshed(capsys, place) == {"scores/token_length letters/tiny"}
    assert due(capsys, place) == {}


def test_new_code_that_chooses_others_says_how_many(place, capsys, monkeypatch):
    samples = "SELECT sample_id FROM selections.samples WHERE experiment = $experiment"
    warehouse = build_resources(place.home).warehouse
    before = set(warehouse.query(samples, {"experiment": TOKEN_LENGTH})["sample_id"])
    replace_method(monkeypatch, "END::DOUBLE * -1 AS score")
    made = refreshed(capsys, place, "selection")
    assert made == {"scores/token_length letters/tiny", f"selection {TOKEN_LENGTH}"}
    others = set(warehouse.query(samples, {"experiment": TOKEN_LENGTH})["sample_id"]) - before
    cause = f"selection {TOKEN_LENGTH} changed, {len(others)} of 6 ids"
    assert len(others) > 0
    changed = {f"checkpoint {TOKEN_LENGTH}", *SELECTION_REPORTS, "cost_ledger"}
    assert due(capsys, place) == {name: ("stale", [cause]) for name in changed}
    assert refreshed(capsys, place) == {f"checkpoint {TOKEN_LENGTH}", f"benchmark_result {TOKEN_LENGTH}", *REPORTS}
    assert due(capsys, place) == {}


def test_new_rows_go_through_the_whole_graph(place, capsys):
    # None of them is set aside for the base model or the held-out loss.
    settings = load_profile(str(place.profile)).pools["letters"]
    new = [row for row in conversations(60, seed=1) if split_of(to_messages(row), settings) == "pool"]
    assert len(new) > 20
    write_pool(place, [*conversations(60, seed=0), *new])
    before = version(place, "base_model", "tiny")
    ((step, (kind, (cause,))),) = due(capsys, place).items()
    assert (step, kind) == ("raw_pool letters", "stale")
    assert cause.startswith("source.letters.jsonl ")
    made = refreshed(capsys, place)
    assert {"raw_pool letters", "pool letters", "base_model tiny", "token_count letters/tiny", *FORWARD_PASS} <= made
    assert each("selection", TRAINED) <= made
    # The base model was pre-trained on the same rows, so its own benchmarks are not run for it.
    assert version(place, "base_model", "tiny") == before
    assert "checkpoint base/tiny" not in made
    assert due(capsys, place) == {}


def test_a_file_that_was_only_touched_is_read_and_nothing_else(place, capsys):
    rows = place.pool.read_bytes()
    place.pool.write_bytes(rows)
    os.utime(place.pool, (1_000_000_000, 1_000_000_000))
    ((step, (kind, (cause,))),) = due(capsys, place).items()
    assert (step, kind) == ("raw_pool letters", "stale")
    assert cause.endswith(f"-> {len(rows):,} bytes of 2001-09-09 01:46:40 UTC")
    assert status(capsys, place)["downstream"] > 20
    assert refreshed(capsys, place) == {"raw_pool letters"}
    assert due(capsys, place) == {}


def test_times_are_shown_to_the_second_unless_only_their_rest_differs():
    seconds = ("46.021110224", "46.900000000", "47.000000000")
    first, second, later = (f"5 bytes of 2026-11-27 11:29:{each} UTC" for each in seconds)
    (cause,) = _changed_settings({"source.a": first}, {"source.a": later})
    assert cause == "source.a 5 bytes of 2026-11-27 11:29:46 UTC -> 5 bytes of 2026-11-27 11:29:47 UTC"
    (cause,) = _changed_settings({"source.a": first}, {"source.a": second})
    assert cause == f"source.a {first} -> {second}"


ROWS = conversations(60, seed=0)


def test_rows_that_are_gone_or_edited_change_what_is_made_of_them(place, capsys):
    settings = load_profile(str(place.profile)).pools["letters"]
    number = next(number for number, row in enumerate(ROWS) if split_of(to_messages(row), settings) == "pool")
    question, answer = ROWS[number]
    edited = [question, answer | {"content": f"{answer['content']} The end."}]
    for row in ([], [edited]):
        write_pool(place, [*ROWS[:number], *row, *ROWS[number + 1 :]])
        assert "raw_pool letters" in due(capsys, place)
        assert refreshed(capsys, place, "pool") == {"raw_pool letters", "pool letters"}
        assert {"token_count letters/tiny", "scores/random letters"} <= due(capsys, place).keys()


def test_rows_that_come_out_the_same_go_no_further_than_the_pool(place, capsys):
    # Edited, where no conversation changes; then a second file, with rows that are there already.
    write_pool(place, ROWS)
    place.pool.write_text(place.pool.read_text().replace('{"messages"', '{"id": 1, "messages"'))
    assert refreshed(capsys, place) == {"raw_pool letters", "pool letters"}
    several = {**PROFILE["pools"]["letters"], "source": {"files": ["letters.jsonl", "more*.jsonl"]}}
    shutil.copy(place.pool, place.folder / "more.jsonl")
    change_profile(place, pools={"letters": several})
    ((step, (kind, causes)),) = due(capsys, place).items()
    assert (step, kind) == ("raw_pool letters", "stale")
    assert any(cause.startswith("source.more.jsonl unset -> ") for cause in causes)
    assert refreshed(capsys, place) == {"raw_pool letters", "pool letters"}
    assert due(capsys, place) == {}


def test_a_licence_that_is_stated_as_the_report_advises_shows_the_texts(place, capsys):
    page = place.home / "artifacts" / "report" / "arms" / "token_length.html"
    assert "set it as <code>licence:</code>" in page.read_text()
    change_profile(place, pools={"letters": {**PROFILE["pools"]["letters"], "licence": "CC0"}})
    made = refreshed(capsys, place)
    assert {"pool letters", "report"} <= made
    assert "cost_ledger" not in made
    assert "set it as <code>licence:</code>" not in page.read_text()
    assert "licence CC0" in page.read_text()
    assert due(capsys, place) == {}


def test_files_that_were_renamed_or_moved_are_read_and_nothing_else(place, capsys):
    def say(files):
        change_profile(place, pools={"letters": {**PROFILE["pools"]["letters"], "source": {"files": files}}})

    (place.folder / "data").mkdir()
    place.pool.rename(place.folder / "data" / "letters.jsonl")
    say("data/*.jsonl")
    assert refreshed(capsys, place) == {"raw_pool letters"}
    (place.folder / "data" / "letters.jsonl").rename(place.folder / "data" / "renamed.jsonl")
    assert list(due(capsys, place)) == ["raw_pool letters"]
    assert refreshed(capsys, place) == {"raw_pool letters"}
    elsewhere = place.folder.with_name("elsewhere")
    (place.folder / "data").rename(elsewhere)
    say(str(elsewhere))
    assert list(due(capsys, place)) == ["raw_pool letters"]
    assert refreshed(capsys, place) == {"raw_pool letters"}
    assert due(capsys, place) == {}
    shutil.rmtree(elsewhere)


def test_a_file_that_is_gone_is_due_and_one_message(place, capsys):
    place.pool.unlink()
    assert list(due(capsys, place)) == ["raw_pool letters"]
    capsys.readouterr()
    assert main(["--profile", str(place.profile), "refresh", "raw_pool"]) == 1
    assert "nothing matches" in capsys.readouterr().err


def test_another_recipe_trains_again(place, capsys):
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    cause = ("stale", ["fine_tuning.learning_rate 0.001 -> 0.002"])
    assert due(capsys, place) == {f"checkpoint {key}": cause for key in TRAINED}
    made = refreshed(capsys, place)
    assert made == each("checkpoint", TRAINED) | each("benchmark_result", TRAINED) | REPORTS - SELECTION_REPORTS
    assert due(capsys, place) == {}


def test_a_setting_of_the_scoring_touches_what_is_scored_by_it(place, capsys):
    change_profile(place, scoring={"max_length": 60})
    cause = ("stale", ["scoring.max_length 128 -> 60"])
    assert due(capsys, place) == {"answer_likelihood, sample_embedding letters/tiny": cause}
    made = refreshed(capsys, place)
    assert FORWARD_PASS | {"scores/entropy letters/tiny", f"selection {ENTROPY}"} <= made
    assert not any("token_length" in name or "random" in name for name in made)
    assert due(capsys, place) == {}


def test_a_setting_of_speed_makes_nothing_due(place, capsys):
    change_profile(place, scoring={"samples_per_shard": 7}, fine_tuning={"batch_per_device": 2})
    now = status(capsys, place)
    assert now["due"] == []
    assert now["other_speed"] == {
        "scoring.samples_per_shard 20 -> 7": len(FORWARD_PASS),
        "fine_tuning.batch_per_device 4 -> 2": len(TRAINED),
    }
    assert "computed again, only their last digits would differ" in " ".join(output_of(capsys, place, "status").split())
    assert refreshed(capsys, place) == set()


def test_another_text_template_touches_all_that_reads_texts(place, capsys, monkeypatch, request):
    old = rendering.template_hash()
    for module in (rendering, paper_text, token_count):
        monkeypatch.setattr(module, "ANSWER_CUE", "Answer: ")
    # Known once a process.
    rendering.template_hash.cache_clear()
    request.addfinalizer(rendering.template_hash.cache_clear)
    cause = ("stale", [f"template {old} -> {rendering.template_hash()}"])
    assert due(capsys, place) == {
        "base_model tiny": cause,
        "token_count letters/tiny": cause,
        "answer_likelihood, sample_embedding letters/tiny": cause,
        **{f"checkpoint {key}": cause for key in TRAINED},
        **{f"benchmark_result {key}": cause for key in ("base/tiny", *TRAINED)},
    }
    made = refreshed(capsys, place)
    assert {"base_model tiny", *FORWARD_PASS, *each("checkpoint", ["base/tiny", *TRAINED])} <= made
    assert not {"raw_pool letters", "pool letters", "scores/random letters"} & made
    assert due(capsys, place) == {}


def test_a_template_of_ones_own_is_known_by_its_content(place, capsys):
    own, moved = place.folder / "own.jinja", place.folder / "moved.jinja"
    own.write_text(
        "{% for m in messages %}{{ m.role + ': ' + m.content + (eos_token if m.role == 'assistant' else '\\n') }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    change_profile(place, text={"template": "own.jinja"})
    found = due(capsys, place)
    assert set(found) == {
        "token_count letters/tiny",
        "answer_likelihood, sample_embedding letters/tiny",
        *(f"checkpoint {key}" for key in TRAINED),
        *(f"benchmark_result {key}" for key in ("base/tiny", *TRAINED)),
    }
    status, causes = found["token_count letters/tiny"]
    assert status == "stale"
    name = f"file {hashlib.sha256(own.read_bytes()).hexdigest()[:16]}"
    assert causes[0] == f"template {rendering.template_hash()} -> {name}"
    assert refreshed(capsys, place) >= {*FORWARD_PASS, *each("checkpoint", TRAINED)}
    assert due(capsys, place) == {}
    # The checkpoint has the template, and no other path leads to another result.
    saved = (place.home / "artifacts" / "checkpoint" / TRAINED[0] / "chat_template.jinja").read_text()
    assert saved.endswith(own.read_text())
    own.rename(moved)
    change_profile(place, text={"template": "moved.jinja"})
    assert due(capsys, place) == {}


def test_a_new_experiment_alone_is_trained(place, capsys):
    change_profile(place, arms={"random": {"seeds": [0, 1, 2]}})
    missing = ("missing", ["never materialised"])
    assert due(capsys, place) == {
        "scores/random letters": ("stale", ["arms.random.seeds [0, 1] -> [0, 1, 2]"]),
        **{f"{asset} {RANDOM[2]}": missing for asset in ("selection", "checkpoint", "benchmark_result")},
        **dict.fromkeys(RESULT_REPORTS, ("stale", [f"benchmark_result {RANDOM[2]} is new"])),
        **dict.fromkeys(SELECTION_REPORTS, ("stale", [f"selection {RANDOM[2]} is new"])),
        "cost_ledger": ("stale", [f"{asset} {RANDOM[2]} is new" for asset in ("benchmark_result", "selection")]),
    }
    made = refreshed(capsys, place)
    assert made - REPORTS == {
        "scores/random letters", *each("selection", RANDOM[2:]), f"checkpoint {RANDOM[2]}",
        f"benchmark_result {RANDOM[2]}",
    }  # fmt: skip
    assert made >= REPORTS
    assert due(capsys, place) == {}


def test_other_scores_of_a_seed_are_seen_beside_those_of_another(place, capsys, monkeypatch):
    """As if the draw of seed 1 alone had changed."""

    def load(name):
        sql = load_sql(name)
        return (
            sql.replace("seed, sample_id, md5", "seed, sample_id, (1 - 2 * seed) * md5") if name == RANDOM_SQL else sql
        )

    for module in (asset, score_table):
        monkeypatch.setattr(module, "load_sql", load)
    made = refreshed(capsys, place)
    assert {name for name in made if name.startswith("selection random")} == {f"selection {RANDOM[1]}"}
    assert due(capsys, place) == {}


def test_a_removed_experiment_leaves_the_leaderboard(place, capsys):
    change_profile(place, arms={"random": {"seeds": [0]}})
    assert due(capsys, place) == {
        "scores/random letters": ("stale", ["arms.random.seeds [0, 1] -> [0]"]),
        **dict.fromkeys(RESULT_REPORTS, ("stale", [f"benchmark_result {RANDOM[1]} was removed from the profile"])),
        **dict.fromkeys(SELECTION_REPORTS, ("stale", [f"selection {RANDOM[1]} was removed from the profile"])),
        "cost_ledger": (
            "stale",
            [f"{asset} {RANDOM[1]} was removed from the profile" for asset in ("benchmark_result", "selection")],
        ),
    }
    removed = [{"asset": asset, "partition": RANDOM[1]} for asset in ("benchmark_result", "checkpoint", "selection")]
    assert status(capsys, place)["removed"] == removed
    assert refreshed(capsys, place) == {"scores/random letters", *REPORTS}
    assert due(capsys, place) == {}
    assert status(capsys, place)["removed"] == removed
    leaderboard = json.loads(output_of(capsys, place, "sql", "--json", "SELECT DISTINCT arm FROM reports.leaderboard"))
    assert {row["arm"] for row in leaderboard} == {"base", "random", "token_length", "entropy"}


def test_a_removed_arm_is_counted_with_all_that_only_it_needed(place, capsys):
    profile = yaml.safe_load(place.profile.read_text())
    del profile["arms"]["entropy"]
    place.profile.write_text(yaml.safe_dump(profile, sort_keys=False))
    assert set(due(capsys, place)) == REPORTS - {"report"}
    removed = {f"{each['asset']} {each['partition']}" for each in status(capsys, place)["removed"]}
    of_experiment = {f"{asset} {ENTROPY}" for asset in ("selection", "checkpoint", "benchmark_result")}
    assert removed == {*FORWARD_PASS, "scores/entropy letters/tiny", *of_experiment}
    assert "6 materialised partitions are no longer in the profile" in output_of(capsys, place, "status")
    assert refreshed(capsys, place) == REPORTS
    # Back again, it is as it was.
    change_profile(place, arms={"entropy": {}})
    assert refreshed(capsys, place) == REPORTS
    assert due(capsys, place) == {}


def test_a_deleted_checkpoint_is_trained_to_the_same_weights(place, capsys):
    folder = build_resources(place.home).artifacts.checkpoint(TOKEN_LENGTH)
    before = version(place, "checkpoint", TOKEN_LENGTH)
    shutil.rmtree(folder)
    assert due(capsys, place) == {f"checkpoint {TOKEN_LENGTH}": ("missing", [f"its files are gone: {folder}"])}
    assert refreshed(capsys, place) == {f"checkpoint {TOKEN_LENGTH}"}
    assert version(place, "checkpoint", TOKEN_LENGTH) == before
    assert (folder / "model.safetensors").exists()
    assert due(capsys, place) == {}


def test_a_training_that_was_killed_when_made_again_is_not_lost(place, capsys):
    folder = build_resources(place.home).artifacts.checkpoint(TOKEN_LENGTH)
    unfinished = f"it is made again and not finished yet; run goes on with it: {folder}"
    with made_again():
        begin_again(folder)
    assert due(capsys, place) == {f"checkpoint {TOKEN_LENGTH}": ("missing", [unfinished])}
    # As if it were killed just before, when the result of before had been put aside and the job was not written.
    shutil.rmtree(folder)
    assert due(capsys, place) == {f"checkpoint {TOKEN_LENGTH}": ("missing", [unfinished])}
    assert refreshed(capsys, place) == {f"checkpoint {TOKEN_LENGTH}"}
    assert due(capsys, place) == {}


def test_deleted_scores_of_the_shared_pass_are_made_again(place, capsys):
    folder = build_resources(place.home).artifacts.scoring("letters/tiny") / "answer_likelihood"
    shutil.rmtree(folder)
    (causes,) = {tuple(causes) for _, causes in due(capsys, place).values()}
    assert causes == (f"its files are gone: {folder / '000'}",)
    assert refreshed(capsys, place) == {*FORWARD_PASS}
    assert due(capsys, place) == {}


def test_refresh_of_a_name_makes_that_and_what_it_is_made_from(place, capsys):
    change_profile(place, scoring={"max_length": 60}, fine_tuning={"learning_rate": 0.002})
    assert refreshed(capsys, place, "scores/entropy") == {*FORWARD_PASS, "scores/entropy letters/tiny"}
    assert refreshed(capsys, place, TOKEN_LENGTH) == {f"checkpoint {TOKEN_LENGTH}", f"benchmark_result {TOKEN_LENGTH}"}
    left = due(capsys, place)
    assert left[f"selection {ENTROPY}"] == ("stale", ["scores/entropy letters/tiny changed"])
    assert left["verdict"] == left["leaderboard"] == ("stale", [f"benchmark_result {TOKEN_LENGTH} changed"])
    assert set(left) == {
        f"selection {ENTROPY}",
        *RESULT_REPORTS,
        "cost_ledger",
        *each("checkpoint", {*TRAINED} - {TOKEN_LENGTH}),
    }
    refreshed(capsys, place)
    assert due(capsys, place) == {}


def test_refresh_finds_each_asset_of_a_shared_pass(place, capsys):
    change_profile(place, scoring={"max_length": 60}, fine_tuning={"learning_rate": 0.002})
    assert refreshed(capsys, place, "sample_embedding") == FORWARD_PASS


def test_refresh_of_an_unknown_name_says_so(place, capsys):
    assert main(["--profile", str(place.profile), "refresh", "scores/entropi"]) == 1
    assert "no asset or partition 'scores/entropi'" in capsys.readouterr().err
