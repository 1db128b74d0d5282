import re

import pytest
from datasets.data_files import get_data_patterns, resolve_pattern

from selection_platform.pools.rows import SourceError
from selection_platform.pools.sources.layout import Layout, in_order, named, read_layout, splits_by_name

TREES = [
    ["a.jsonl"],
    ["train.jsonl", "test.jsonl"],
    ["data/train.csv", "data/validation.csv", "data/other.csv"],
    ["my-train-data.jsonl", "my_dev_0.jsonl", "evaluation.jsonl", "trainer.jsonl"],
    ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test_sft-00000-of-00001.parquet"],
    ["data/math-00000-of-00001-abc.parquet", "data/code-00000-of-00001.parquet", "other/train.jsonl"],
    ["train/a.jsonl", "sub/train/b.jsonl", "valid/c.jsonl", "x.jsonl"],
    ["en-train/a.jsonl", "training 2/b.jsonl", "eval.v1/c.jsonl"],
    ["chats/one.jsonl", "chats/deep/two.jsonl", ".hidden/train.jsonl", "__x__/test.jsonl"],
    ["train.jsonl", "train_1.jsonl", "test/a.jsonl"],
    ["train/a.jsonl", "train-1/b.jsonl", "train.jsonl"],
]


def layout(paths, card=None):
    return read_layout("someone/chats", paths, card)


@pytest.mark.parametrize("paths", TREES)
def test_splits_are_those_of_datasets(tmp_path, paths):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")
    expected = {}
    for split, patterns in get_data_patterns(str(tmp_path)).items():
        files: set[str] = set()
        for pattern in patterns:
            try:
                files |= {path.removeprefix(f"{tmp_path}/") for path in resolve_pattern(pattern, str(tmp_path))}
            except FileNotFoundError:
                continue
        expected[str(split)] = in_order(files)
    ours = layout(paths).configs["default"]
    assert ours == expected
    assert list(ours) == list(expected)


CARD = """---
license: mit
configs:
- config_name: chats
  data_files: "chats/*.jsonl"
- config_name: math
  default: true
  data_files:
  - split: train
    path: [math/b.parquet, "math/a*.parquet"]
  - split: test_sft
    path: math/**/test.parquet
- config_name: by_name
  data_dir: named
- config_name: gone
  data_files: [{split: train, path: gone.jsonl}]
---
# Chats
"""
PATHS = [
    "README.md", ".gitattributes", "chats/a.jsonl", "chats/b.jsonl", "math/a1.parquet", "math/a2.parquet",
    "math/b.parquet", "math/x/test.parquet", "named/train.jsonl", "named/dev.jsonl", "picture.png",
]  # fmt: skip


def test_the_card_says_which_files_are_which():
    chats = layout(PATHS, CARD)
    assert chats.default == "math"
    assert chats.configs == {
        "chats": {"train": ["chats/a.jsonl", "chats/b.jsonl"]},
        "math": {
            "train": ["math/b.parquet", "math/a1.parquet", "math/a2.parquet"], "test_sft": ["math/x/test.parquet"],
        },
        "by_name": {"train": ["named/train.jsonl"], "validation": ["named/dev.jsonl"]},
        "gone": {"train": []},
    }  # fmt: skip
    assert chats.left_out == ["picture.png"]


def test_several_configs_and_splits():
    chats = layout(PATHS, CARD)
    math = ["math/b.parquet", "math/a1.parquet", "math/a2.parquet", "math/x/test.parquet"]
    assert chats.choose([], ["all"]) == chats.choose(["math"], ["train", "test_sft"]) == math
    assert chats.choose(["chats+by_name"], ["train"]) == chats.choose(["chats", "by_name"], ["train"])
    assert chats.choose(["by_name", "chats"], ["train"]) == ["named/train.jsonl", "chats/a.jsonl", "chats/b.jsonl"]
    odd = Layout("x", {"a+b": {"all": ["a.jsonl"]}, "a": {"train": ["b.jsonl"]}}, None)
    assert odd.choose(["a+b"], ["all"]) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("configs", "splits", "message"),
    [
        (["nosuch"], ["train"], "has no config 'nosuch'; `config` can be one or a list of by_name, chats, gone, math"),
        ([], ["val"], "has no split 'val' in its config 'math'; `split` can be test_sft, train, several of these"),
        (["chats", "math"], ["test_sft"], "has no split 'test_sft' in its config 'chats'; `split` can be train,"),
        (["gone"], ["train"], "has no file gone.jsonl that can be read; correct its card"),
    ],
)
def test_what_is_not_there_is_one_message_with_what_is(configs, splits, message):
    with pytest.raises(SourceError, match=re.escape(message)):
        layout(PATHS, CARD).choose(configs, splits)


def test_a_data_set_with_several_configs_and_no_default():
    card = CARD.replace("  default: true\n", "")
    with pytest.raises(SourceError, match=r"several configs and no default; set `config` .* by_name, chats, gone"):
        layout(PATHS, card).choose([], ["train"])


def test_files_of_several_formats_are_one_message():
    paths = ["train.jsonl", "train.parquet", "test.jsonl"]
    with pytest.raises(
        SourceError, match=r"'train' of someone/chats has files of several formats \(1 json and 1 parquet\)"
    ):
        layout(paths).choose([], ["train"])
    assert layout(paths).choose([], ["test"]) == ["test.jsonl"]
    card = "---\nconfigs: [{config_name: default, data_files: '*.jsonl'}]\n---"
    assert layout(paths, card).choose([], ["train"]) == ["test.jsonl", "train.jsonl"]
    assert named("x", ["*.parquet", "t*n.parquet"], paths) == ["train.parquet"]
    with pytest.raises(SourceError, match=r"has no file \*\.csv that can be read"):
        named("x", ["*.csv"], paths)


def test_the_hubs_own_export_has_a_folder_for_each_config_and_split():
    paths = ["en/train/0000.parquet", "en/train/0001.parquet", "en/partial-test/0000.parquet", "de/train/0000.parquet"]
    export = layout(paths)
    assert export.configs == {
        "en": {"test": [paths[2]], "train": paths[:2]}, "de": {"train": [paths[3]]},
    }  # fmt: skip
    assert export.default is None


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["chats.py", "README.md"], "needs a script, which is not run; set `revision: refs/convert/parquet`"),
        (["chats.py", "data/train.jsonl"], "needs a script"),
        (["loader.py"], "needs a script"),
        (["train/a.png", "train/b.JPG"], "is a folder of images or sound (train/a.png, ...)"),
        (["train/a.png", "train/metadata.jsonl"], "is a folder of images or sound"),
        (["a.txt", "README.md"], "has no file that can be read: it has a.txt. Readable are .jsonl"),
        (["README.md"], "has no file that can be read: it is empty."),
    ],
)
def test_what_holds_no_rows_is_one_message(paths, message):
    with pytest.raises(SourceError, match=re.escape(message)):
        layout(paths)


def test_a_script_beside_files_that_the_card_names_is_not_run():
    assert layout(["chats.py", "chats/a.jsonl"], CARD).choose(["chats"], ["train"]) == ["chats/a.jsonl"]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("---\na: [\n---\n", "the card of someone/chats, README.md, is not YAML"),
        ("---\nconfigs: [{data_files: a}]\n---\n", "a config has no config_name"),
        (
            "---\nconfigs: [{config_name: a, data_files: b, sep: ;}]\n---\n",
            "the config 'a' sets sep, which is not supported",
        ),
        (
            "---\nconfigs: [{config_name: a, data_files: [{split: b}]}]\n---\n",
            "has data_files that are neither paths nor",
        ),
    ],
)
def test_a_broken_card_is_one_message(card, message):
    with pytest.raises(SourceError, match=re.escape(message)):
        layout(["a.jsonl", "b"], card).choose([], ["train"])


@pytest.mark.parametrize("card", [None, "", "# Chats", "---\nlicense: mit\n---\n# Chats", "---\nno end"])
def test_a_card_that_lists_no_configs(card):
    assert layout(["b.jsonl", "a.jsonl"], card).configs == {"default": {"train": ["a.jsonl", "b.jsonl"]}}


def test_no_files_have_no_splits():
    assert splits_by_name([]) == {}
