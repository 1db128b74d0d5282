import pytest

from orchestration.disk_usage import Use, artifact_uses, bytes_of, remove_folders, removed_folders
from selection_platform.job.folder import read_manifest, remove_job_folder, write_manifest
from selection_platform.models.dropped_weights import drop_weights, weights_dropped
from selection_platform.text.numbers import in_words


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in files.items():
        (folder / name).write_bytes(bytes(size))


@pytest.fixture
def root(tmp_path):
    put(tmp_path / "checkpoint" / "ifd" / "s0", weights=100)
    put(tmp_path / "checkpoint" / "ifd", **{"s0.samples.parquet": 7})
    put(tmp_path / "checkpoint" / "zip" / "s0", weights=30)
    put(tmp_path / "checkpoint" / "zip", **{"s0.samples.parquet": 3})
    put(tmp_path / "pool" / "p", shard=5)
    put(tmp_path / "scoring" / "p" / "m", **{"samples.parquet": 11})
    put(tmp_path / "scoring" / "p" / "m" / "wanted" / "000", shard=13)
    put(tmp_path / "scoring" / "p" / "m" / "unwanted" / "000", shard=17)
    return tmp_path


def in_profile(root):
    return [root / "checkpoint" / "ifd" / "s0", root / "pool" / "p", root / "scoring" / "p" / "m" / "wanted"]


def test_each_byte_is_counted_once(root):
    uses = artifact_uses(root, in_profile(root), {"ifd/s0": root / "checkpoint" / "ifd" / "s0"})
    assert set(uses) == {
        Use("checkpoint", "ifd/s0", 107),
        Use("checkpoint", "zip", 33, in_profile=False),
        Use("pool", None, 5),
        Use("scoring", None, 24),
        Use("scoring", "p/m/unwanted", 17, in_profile=False),
    }
    assert sum(use.bytes for use in uses) == bytes_of(root)


def test_what_belongs_to_nothing_is_removed_and_nothing_else(root):
    folders = removed_folders(root, in_profile(root))
    assert remove_folders(folders) == 33 + 17
    assert bytes_of(root) == 107 + 5 + 24
    assert removed_folders(root, in_profile(root)) == []


def test_without_artifacts_there_is_nothing(tmp_path):
    assert artifact_uses(tmp_path / "none", [], {}) == []
    assert removed_folders(tmp_path / "none", []) == []


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (99_600, "100 kB"), (999_600, "1.0 MB"),
     (15_200_000_000, "15.2 GB"), (10**16, "10000 TB")],
)  # fmt: skip
def test_bytes_in_words(count, words):
    assert in_words(count) == words


@pytest.fixture
def model(tmp_path):
    put(tmp_path, **{"a.safetensors": 10, "b.safetensors": 20, "config.json": 2, "tokenizer.json": 3})
    write_manifest(tmp_path, {"weights_hash": "abc"})
    return tmp_path


def test_only_weights_are_dropped(model):
    assert not weights_dropped(model)
    assert drop_weights(model) == 30
    assert weights_dropped(model)
    assert {path.name for path in model.iterdir()} == {"config.json", "tokenizer.json", "manifest.json", "files.json"}
    assert (read_manifest(model) or {})["weights_hash"] == "abc"
    assert drop_weights(model) == 0
    assert (read_manifest(model) or {})["weights_dropped"]["bytes"] == 30


def test_a_killed_drop_is_known_as_dropped_and_goes_on(model, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            drop_weights(model)
    assert weights_dropped(model)
    assert drop_weights(model) == 30


def test_weights_that_nobody_could_name_stay(tmp_path):
    put(tmp_path, **{"a.safetensors": 10})
    with pytest.raises(ValueError, match="its manifest has no weights_hash"):
        drop_weights(tmp_path)
    assert bytes_of(tmp_path) == 10


def test_a_folder_that_is_trained_again_is_not_a_dropped_one(model):
    drop_weights(model)
    remove_job_folder(model)
    model.mkdir()
    write_manifest(model, {"weights_hash": "abc"})
    assert not weights_dropped(model)
