"""Sub-pools: what the whole pool's features and scores serve is not computed again."""

import json
import shutil

import pytest

from assets.record.provenance import latest_provenance
from orchestration.materialize import open_instance
from selection_platform.cli.main import main
from tests.conftest import enter
from tests.small_run import Place, change_profile, due, materializations, output_of

SIZE = 20
STUDY = {"sizes": {"letters": [SIZE]}, "arms": ["token_length", "zip", "km_entropy"]}
SUB = f"letters@{SIZE}"


@pytest.fixture(scope="module")
def selected(finished, tmp_path_factory):
    """The small profile with arms that depend on the whole set, and parts of its pool; and what `selection` made."""
    folder = tmp_path_factory.mktemp("study") / "here"
    shutil.copytree(finished.folder.with_name("finished"), folder)
    study = Place(folder, folder / "small.yaml", folder / "letters.jsonl")
    change_profile(study, arms={"zip": {}, "km_entropy": {}}, k_means={"clusters": 3}, pool_size_study=STUDY)
    before = materializations(study)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, study)
        assert main(["--profile", str(study.profile), "refresh", "selection"]) == 0
    return study, {name for name, run in materializations(study).items() if before.get(name) != run}


@pytest.fixture
def study(selected, monkeypatch):
    """The home of the three tests, each of which leaves what was selected as it is."""
    enter(monkeypatch, selected[0])
    return selected[0]


def rows(capsys, place, query):
    return [tuple(row.values()) for row in json.loads(output_of(capsys, place, "sql", query, "--json"))]


def test_no_forward_pass_is_made_for_a_sub_pool(selected):
    study, made = selected
    scored = {name for name in made if name.startswith(("scores/", "sample_cluster", "sub_pool"))}
    assert {name for name in scored if SUB in name} == {
        f"sub_pool {SUB}",
        f"sample_cluster {SUB}/tiny",
        f"scores/km_entropy {SUB}/tiny",
        f"scores/zip {SUB}",
    }
    assert not {name for name in made if name.startswith(("answer_likelihood", "sample_embedding", "token_count"))}
    with open_instance(study.home) as instance:
        keys = {key.to_user_string(): key for key in instance.get_asset_keys()}
        tokens = {
            name: latest_provenance(instance, keys[name])[partition].metadata["cost"]["tokens"]
            for name, _, partition in (each.partition(" ") for each in made)
        }
        (whole,) = latest_provenance(instance, keys["answer_likelihood"]).values()
    assert set(tokens.values()) == {0}
    assert whole.metadata["cost"]["tokens"] > 0


def test_a_sub_pools_selection_is_the_best_of_its_samples(study, capsys):
    scores = rows(capsys, study, "SELECT sample_id, score FROM scores.token_length WHERE pool = 'letters'")
    lowest = set(sorted(name for name, _ in scores)[:SIZE])
    best = sorted((-score, name) for name, score in scores if name in lowest)[:6]
    key = f"token_length/{SUB}/tiny/6/s0"
    query = f"SELECT sample_id FROM selections.samples WHERE experiment = '{key}' ORDER BY position"
    assert rows(capsys, study, query) == [(name,) for _, name in best]
    assert rows(capsys, study, f"SELECT pool, pool_size FROM experiments.keys WHERE experiment = '{key}'") == [
        ("letters", SIZE)
    ]
    output_of(capsys, study, "verify", key)
    for method in ("zip", "km_entropy"):
        chosen = f"SELECT sample_id FROM selections.samples WHERE experiment = '{method}/{SUB}/tiny/6/s0'"
        assert {name for (name,) in rows(capsys, study, chosen)} <= lowest
    _explain_and_diff(study, capsys, best[0][1])


def _explain_and_diff(study, capsys, sample_id):
    """A sample has ranks in the pool and in a part; two draws from parts share as chance in the larger has it."""
    found = json.loads(output_of(capsys, study, "explain", sample_id, "--json"))
    assert [each["pool"] for each in found["pools"]] == ["letters", SUB]
    zips = {score["pool"]: score["scored"] for score in found["scores"] if score["method"] == "zip"}
    assert zips == {"letters": 6, SUB: 6}
    keys = [f"zip/{SUB}/tiny/6/s0", f"km_entropy/{SUB}/tiny/6/s0"]
    facts = json.loads(output_of(capsys, study, "diff", *keys, "--json"))
    assert facts["shared_by_chance"] == pytest.approx(6 * 6 / SIZE)
    facts = json.loads(output_of(capsys, study, "diff", keys[0], "zip/letters/tiny/6/s0", "--json"))
    (size,) = {row["samples"] for row in facts["groups"] if row["side"] == "pool"}
    assert size > SIZE
    assert facts["shared_by_chance"] == pytest.approx(6 * 6 / size)


def test_the_curve_has_sub_pools_and_the_leaderboard_has_not(study, capsys):
    output_of(capsys, study, "run")
    assert due(capsys, study) == {}
    points = rows(
        capsys,
        study,
        "SELECT method, seed, pool_size, whole FROM reports.pool_size_curve WHERE measure = 'held_out_loss'",
    )
    (pool_size,) = {size for _, _, size, whole in points if whole}
    assert sorted(points) == sorted(
        [("random", seed, pool_size, True) for seed in (0, 1)]
        + [(arm, 0, size, size != SIZE) for arm in STUDY["arms"] for size in (SIZE, pool_size)]
    )
    assert rows(capsys, study, f"SELECT * FROM reports.leaderboard WHERE contains(experiment, '{SUB}')") == []


@pytest.mark.parametrize(
    ("pool_size_study", "message"),
    [
        ({"sizes": {"letters": [5]}, "arms": ["token_length"]}, "letters: 5 is less than budgets, which is 6"),
        ({"sizes": {"letters": [999]}, "arms": ["token_length"]}, "letters: 999 is above the"),
        ({"sizes": {"letter": [9]}}, "unknown pool 'letter'; did you mean 'letters'"),
        ({"sizes": {"letters": [9, 9]}}, "letters: must differ"),
        ({"sizes": {"letters": [9]}, "arms": ["base"]}, "'base' is no arm of this profile that selects"),
        ({"sizes": {"letters": [9]}, "arms": ["entropi"]}, "did you mean 'entropy'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(place, capsys, pool_size_study, message):
    change_profile(place, pool_size_study=pool_size_study)
    assert main(["--profile", str(place.profile), "refresh", "sub_pool" if "999" in message else "pool"]) == 1
    assert message in capsys.readouterr().err
