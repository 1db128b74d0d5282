"""Embeddings alone against those of the shared pass, and the array made of their shards."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedModel

from selection_platform.configuration.settings import ScoringSettings
from selection_platform.errors import NotFinite
from selection_platform.features import answer_likelihood, sample_embedding
from selection_platform.features.sample_embedding import EmbeddingSpec, embed, read_embeddings
from selection_platform.job.shards import apart_files, shard_files
from selection_platform.models import forward_pass
from selection_platform.models.head import output_head
from selection_platform.models.loading import load_model
from selection_platform.text.conversation import Message
from tests.specs import changed, made
from tests.tiny import CONFIGS, random_samples, save_model, write_samples


@pytest.fixture
def spec(tmp_path: Path) -> EmbeddingSpec:
    """A job with 24 samples: 4 shards, and batches of a few rows."""
    save_model(tmp_path / "model", CONFIGS["llama"])
    write_samples(tmp_path / "samples.parquet", random_samples(24))
    return made(
        EmbeddingSpec,
        model_folder=str(tmp_path / "model"),
        samples_file=str(tmp_path / "samples.parquet"),
        max_length=60,
        tokens_per_batch=256,
        samples_per_shard=7,
    )


def shared_pass(spec: EmbeddingSpec, *, prompt_embedding: bool = False) -> answer_likelihood.LikelihoodSpec:
    given = {**dict(spec), "scoring": ScoringSettings(**dict(spec.scoring)), "prompt_embedding": prompt_embedding}
    weighted = given.pop("weighted")
    return answer_likelihood.LikelihoodSpec(**given, weighted_embedding=weighted)


def shard_bytes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in shard_files(folder)]


def write_shard(path: Path, rows: dict[str, list[float]], size: int) -> Path:
    values = pa.array([value for row in rows.values() for value in row], pa.float32())
    table = {"sample_id": list(rows), "embedding": pa.FixedSizeListArray.from_arrays(values, size)}
    pq.write_table(pa.table(table), path)
    return path


def test_position_weighted_means_are_those_that_the_shared_pass_keeps_apart(spec: EmbeddingSpec, tmp_path: Path):
    weighted = changed(spec, weighted=True)
    embed(weighted, tmp_path / "alone")
    answer_likelihood.score(shared_pass(weighted), tmp_path / "shared")
    ids, alone = read_embeddings(shard_files(tmp_path / "alone"), tmp_path / "alone.npy")
    kept = read_embeddings(apart_files(tmp_path / "shared"), tmp_path / "kept.npy", "weighted_embedding")
    assert ids == kept[0]
    assert alone == pytest.approx(kept[1], rel=1e-6, abs=1e-7)
    embed(spec, tmp_path / "means")
    assert not np.allclose(alone, read_embeddings(shard_files(tmp_path / "means"), tmp_path / "means.npy")[1])


@pytest.mark.parametrize("architecture", CONFIGS)
def test_equals_the_shared_pass(architecture: str, spec: EmbeddingSpec, tmp_path: Path):
    model = tmp_path / architecture
    save_model(model, CONFIGS[architecture])
    spec = changed(spec, model_folder=str(model))
    summary = embed(spec, tmp_path / "alone")
    shared = answer_likelihood.score(shared_pass(spec), tmp_path / "shared")
    for alone, other in zip(shard_files(tmp_path / "alone"), shard_files(tmp_path / "shared"), strict=True):
        assert pq.read_table(alone) == pq.read_table(other, columns=["sample_id", "embedding"])
    assert (summary.samples, summary.truncated) == (24, shared.truncated)
    assert 0 < summary.tokens < shared.tokens


@pytest.mark.parametrize("cut", ["prompt_start", "answer_end"])
def test_means_over_the_tokens_of_prompt_and_answer(cut: str, spec: EmbeddingSpec, tmp_path: Path):
    model = save_model(tmp_path / "model", CONFIGS["llama"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    samples = {
        "long": [Message("user", "the cat " * 30), Message("assistant", "gone")],
        "short": [Message("user", "cat"), Message("assistant", "a hat")],
    }
    write_samples(tmp_path / "samples.parquet", samples)
    summary = embed(changed(spec, cut=cut), tmp_path / "out")
    assert (summary.cut_prompts, summary.truncated) == (1, int(cut == "answer_end"))
    found = pq.read_table(shard_files(tmp_path / "out")).to_pylist()
    for row, parts in zip(found, [(f"Human: {'the cat ' * 30}", "gone"), ("Human: cat", "a hat")], strict=True):
        ids = tokenizer.encode(f"{parts[0]}\nAssistant: ") + tokenizer.encode(parts[1])
        ids = ids[-60:] if cut == "prompt_start" else ids[:60]
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
        np.testing.assert_allclose(row["embedding"], hidden.mean(dim=0), atol=1e-5)


def test_no_logits_are_made(spec: EmbeddingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def load_without_head(folder: Path, dtype: str):
        model, tokenizer = load_model(folder, dtype)
        output_head(model).register_forward_hook(lambda *_: pytest.fail("the head ran"))
        return model, tokenizer

    monkeypatch.setattr(forward_pass, "load_model", load_without_head)
    monkeypatch.setattr(forward_pass, "check_model", lambda model: None)
    assert embed(spec, tmp_path / "out").samples == 24


def test_resumes_to_the_same_bytes(spec: EmbeddingSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    summary = embed(spec, tmp_path / "whole")
    passes = 0
    hidden_state = sample_embedding.last_hidden_state

    def dies_after_six(model: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
        nonlocal passes
        passes += 1
        if passes > 6:
            raise KeyboardInterrupt
        return hidden_state(model, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(sample_embedding, "last_hidden_state", dies_after_six)
        with pytest.raises(KeyboardInterrupt):
            embed(spec, tmp_path / "broken")
    assert 1 <= len(shard_files(tmp_path / "broken")) < 4
    assert not (tmp_path / "broken/manifest.json").exists()
    embed(spec, tmp_path / "broken")
    assert shard_bytes(tmp_path / "broken") == shard_bytes(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == [
        "cut",
        "files.json",
        "job.json",
        "manifest.json",
        *(f"part-{number:05d}.parquet" for number in range(4)),
    ]
    assert embed(spec, tmp_path / "whole") == summary  # the same seconds: nothing ran
    assert embed(changed(spec, max_length=50), tmp_path / "whole").seconds != summary.seconds


def test_nan_names_the_sample(spec: EmbeddingSpec, tmp_path: Path):
    model = save_model(tmp_path / "model", CONFIGS["llama"])
    (token,) = AutoTokenizer.from_pretrained(tmp_path / "model").encode("X")
    model.model.embed_tokens.weight.data[token] = math.nan
    model.save_pretrained(tmp_path / "model")
    samples = {
        "healthy": [Message("user", "the cat sat on the mat"), Message("assistant", "a hat")],
        "sick": [Message("user", "cat"), Message("assistant", "X")],
    }
    write_samples(tmp_path / "samples.parquet", samples)
    with pytest.raises(NotFinite, match="sample sick in float32"):
        embed(spec, tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


def test_refuses_sizes_that_do_not_fit(spec: EmbeddingSpec, tmp_path: Path):
    with pytest.raises(ValueError, match="128 positions"):
        embed(changed(spec, max_length=129, tokens_per_batch=256), tmp_path / "out")
    with pytest.raises(ValueError, match="tokens_per_batch 59"):
        embed(changed(spec, tokens_per_batch=59), tmp_path / "out")


def test_an_array_in_the_order_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sample_embedding, "_ROWS_PER_READ", 2)
    files = [
        write_shard(tmp_path / "part-0.parquet", {"d": [1, 2], "b": [3, 4], "é": [5, 6]}, 2),
        write_shard(tmp_path / "part-1.parquet", {"a": [7, 8], "c": [9, 10]}, 2),
    ]
    ids, rows = read_embeddings(files, tmp_path / "rows")
    assert ids == sorted(ids) == ["a", "b", "c", "d", "é"]
    assert rows.tolist() == [[7, 8], [3, 4], [9, 10], [1, 2], [5, 6]]
    assert rows.dtype == np.float32
    assert isinstance(rows, np.memmap)
    assert not rows.flags.writeable
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-0.parquet", "part-1.parquet", "rows"]


def test_an_array_of_the_shared_passs_shards(spec: EmbeddingSpec, tmp_path: Path):
    likelihood = shared_pass(spec, prompt_embedding=True)
    answer_likelihood.score(likelihood, tmp_path / "out")
    table = pq.read_table(shard_files(tmp_path / "out")).sort_by("sample_id")
    for column in ("embedding", "prompt_embedding"):
        ids, rows = read_embeddings(shard_files(tmp_path / "out"), tmp_path / column, column)
        assert ids == table["sample_id"].to_pylist()
        assert rows.tolist() == table[column].to_pylist()


def test_refuses_shards_that_do_not_belong_together(tmp_path: Path):
    one = write_shard(tmp_path / "part-0.parquet", {"a": [1, 2]}, 2)
    other = write_shard(tmp_path / "part-1.parquet", {"b": [1, 2, 3]}, 3)
    with pytest.raises(ValueError, match=r"all of the same size, but the sizes are \[2, 3\]"):
        read_embeddings([one, other], tmp_path / "rows")
    with pytest.raises(ValueError, match="'a' occurs more than once"):
        read_embeddings([one, one], tmp_path / "rows")
    with pytest.raises(ValueError, match="must have rows"):
        read_embeddings([], tmp_path / "rows")
