"""Sentence embeddings, one text at a time."""

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from transformers import AutoConfig, AutoModel, BertModel

from selection_platform.configuration.encoder_settings import EncoderSettings
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.features.sample_embedding import read_embeddings
from selection_platform.features.sentence_embedding import SentenceSpec, embed_sentences
from selection_platform.job.compute import SPENT
from selection_platform.job.shards import shard_files
from selection_platform.models.sentence_encoder import encode, encoder_folder, load_encoder, pooling_of
from tests.sentence_encoders import WORDS, save_encoder

TEXTS = {"a": ["write about a fox", "red red fox"], "b": ["write", "old"], "c": ["quiet", "river " * 30], "d": ["", ""]}


def spec_of(folder, encoder, **sizes):
    messages = [[{"role": "user", "content": text} for text in texts] for texts in TEXTS.values()]
    pq.write_table(pa.table({"sample_id": list(TEXTS), "messages": messages}), folder / "samples.parquet")
    settings = EncoderSettings(max_length=10, **sizes)
    return SentenceSpec(
        samples_file=str(folder / "samples.parquet"),
        scoring=settings.sizes,
        dtype="float32",
        text=TextSettings(),
        encoder_folder=str(encoder),
    )


@pytest.mark.parametrize("pooling", ["pooling_mode_mean_tokens", "pooling_mode_cls_token"])
def test_equals_one_text_at_a_time(pooling, tmp_path):
    encoder = save_encoder(tmp_path / "encoder", pooling)
    spec = spec_of(tmp_path, encoder, tokens_per_batch=20, samples_per_shard=3)
    summary = embed_sentences(spec, tmp_path / "out")
    assert (summary.samples, summary.cut) == (4, 1)
    assert summary.tokens == 9 + 4 + 10 + 2
    names, vectors = read_embeddings(shard_files(tmp_path / "out"), tmp_path / "vectors.npy")
    assert names == list(TEXTS)
    model = BertModel.from_pretrained(encoder)
    for name, vector in zip(names, vectors, strict=True):
        words = " ".join(TEXTS[name]).split()[:8]
        ids = [2, *(WORDS.index(word) for word in words), 3]
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        wanted = states.mean(axis=0) if pooling == "pooling_mode_mean_tokens" else states[0]
        assert vector == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)


def test_its_arithmetic_is_counted(tmp_path):
    encoder = load_encoder(save_encoder(tmp_path / "encoder"), 10)
    config, before = encoder.model.config, SPENT.forward_flops
    encode(encoder, [np.arange(2, 8)] * 3)
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    weights = layers * (4 * width**2 + 2 * width * inner) + width**2
    assert SPENT.forward_flops - before == 3 * (2 * 6 * weights + 4 * layers * 6 * 6 * width)


def test_a_stopped_job_goes_on_and_other_poolings_are_other_jobs(tmp_path):
    encoder = save_encoder(tmp_path / "encoder")
    spec = spec_of(tmp_path, encoder, samples_per_shard=1)
    embed_sentences(spec, tmp_path / "whole")
    embed_sentences(spec, tmp_path / "stopped")
    (tmp_path / "stopped" / "manifest.json").unlink()
    (tmp_path / "stopped" / "part-00002.parquet").unlink()
    kept = (tmp_path / "stopped" / "part-00001.parquet").stat().st_mtime_ns
    embed_sentences(spec, tmp_path / "stopped")
    assert (tmp_path / "stopped" / "part-00001.parquet").stat().st_mtime_ns == kept
    for part in ("part-00001.parquet", "part-00002.parquet"):
        assert (tmp_path / "stopped" / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()
    first = save_encoder(tmp_path / "first", "pooling_mode_cls_token")
    before = (tmp_path / "whole" / "part-00000.parquet").read_bytes()
    embed_sentences(spec_of(tmp_path, first, samples_per_shard=1), tmp_path / "whole")
    assert (tmp_path / "whole" / "part-00000.parquet").read_bytes() != before


REFUSED = [
    ({"modules": ("Transformer", "Pooling", "Dense")}, "consists of Transformer, Pooling, Dense, and only"),
    ({"modules": ("WordEmbeddings",)}, "consists of WordEmbeddings, and only"),
    ({"pooling": "pooling_mode_max_tokens"}, "pools by pooling_mode_max_tokens; name one that pools by"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_encoders_of_another_kind_are_refused(wrong, message, tmp_path):
    with pytest.raises(PlatformError, match=message):
        pooling_of(save_encoder(tmp_path / "encoder", **wrong))


def test_what_is_no_encoder_and_a_window_beyond_it(tmp_path):
    with pytest.raises(PlatformError, match=r"has no modules\.json; name a model that sentence-transformers saved"):
        pooling_of(tmp_path)
    encoder = save_encoder(tmp_path / "encoder")
    with pytest.raises(PlatformError, match=r"encoder\.max_length: 25 is beyond the 24 tokens"):
        load_encoder(encoder, 25)
    # One of RoBERTa's kind: the first two positions are nobody's.
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model(
        "xlm-roberta", vocab_size=len(WORDS), max_position_embeddings=24, pad_token_id=1, **sizes
    )
    AutoModel.from_config(config).save_pretrained(encoder)
    with pytest.raises(PlatformError, match=r"encoder\.max_length: 23 is beyond the 22 tokens"):
        load_encoder(encoder, 23)
    assert encode(load_encoder(encoder, 22), [np.full(22, 5), np.full(3, 5)]).shape == (2, 16)


def test_of_the_hub_the_pooling_is_fetched_too_and_no_second_weights(monkeypatch):
    there = [
        "1_Pooling/config.json", "README.md", "config.json", "model.safetensors", "modules.json", "onnx/model.onnx",
        "openvino/model.safetensors", "pytorch_model.bin", "tokenizer.json", "vocab.txt",
    ]  # fmt: skip
    fetched = []

    def download(model_id, *, revision, allow_patterns, ignore_patterns):
        fetched.extend(filter_repo_objects(there, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns))
        return f"/cache/{model_id}/{revision}"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    settings = EncoderSettings(hub="BAAI/bge-small-en-v1.5", revision="5c38ec7")
    assert str(encoder_folder(settings)) == "/cache/BAAI/bge-small-en-v1.5/5c38ec7"
    assert fetched == [
        "1_Pooling/config.json", "config.json", "model.safetensors", "modules.json", "tokenizer.json", "vocab.txt",
    ]  # fmt: skip


@pytest.mark.data
@pytest.mark.slow
def test_the_packaged_encoder_puts_like_texts_near_each_other(tmp_path):
    folder = encoder_folder(EncoderSettings())
    texts = ["How do I bake bread?", "What is the way to make a loaf at home?", "The capital of France is Paris."]
    messages = [[{"role": "user", "content": text}] for text in texts]
    pq.write_table(pa.table({"sample_id": list("abc"), "messages": messages}), tmp_path / "samples.parquet")
    spec = SentenceSpec(
        samples_file=str(tmp_path / "samples.parquet"),
        scoring=EncoderSettings().sizes,
        dtype="float32",
        text=TextSettings(),
        encoder_folder=str(folder),
    )
    embed_sentences(spec, tmp_path / "out")
    _, vectors = read_embeddings(shard_files(tmp_path / "out"), tmp_path / "vectors.npy")
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > 0.5 > 0.3 > vectors[0] @ vectors[2]
