"""Batches and arithmetic from lengths alone, against the jobs' own code and sums by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.configuration.settings import FineTuningSettings, ScoringSettings
from selection_platform.errors import PlatformError
from selection_platform.estimate import arithmetic
from selection_platform.estimate.known_sizes import guessed_lengths
from selection_platform.estimate.lengths import Extra, Lengths, assumed, padded, targets, trained
from selection_platform.estimate.machines import Device, Machine, stated_machine
from selection_platform.estimate.shape import read_encoder_shape, shape_of
from selection_platform.estimate.task import Task
from selection_platform.features.sentence_embedding import embed_sentences
from selection_platform.job.compute import SPENT
from tests.features.test_sentence_embedding import spec_of
from tests.sentence_encoders import save_encoder

TINY = shape_of(
    {
        "model_type": "llama", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vocab_size": 10,
    }
)  # fmt: skip


def lengths(*pairs):
    prompt, answer = np.array(pairs, dtype=np.int64).T
    return Lengths(prompt, answer, "by hand")


def test_shards_are_cut_from_the_longest_on():
    # Of four rows in shards of two: 9 and 7, then 4 and 2; 16 tokens hold one of 9, and two of 4.
    assert padded(np.array([4, 9, 2, 7]), 16, None, 2).tolist() == [[1, 9], [1, 7], [2, 4]]


def test_a_likelihood_by_hand():
    # 6 + 4 tokens together, and 4 with a cue of 2 alone: 10 and 6 positions through 8*8*4 + 3*8*16 weights.
    weights, attention = 640, 4 * 8
    found = arithmetic.likelihood(TINY, lengths((6, 4)), ScoringSettings(max_length=64), Extra(2, 1, ()))
    # Logits of all ten positions, and of the four answer tokens and the one before them.
    assert found.forward_flops == 2 * 16 * weights + attention * (10**2 + 6**2) + 2 * (10 + 5) * 80
    assert (found.tokens, found.backward_flops) == (16, 0)
    # The logits, which a CPU computes in float32 whatever the model's number type.
    task = Task("", "", "", None, lambda: found, "bfloat16", 0)
    rest = found.forward_flops - 2400
    rates = {"float32": 10.0, "bfloat16": 40.0}
    for is_cpu, seconds in ((True, rest / 40 + 2400 / 10), (False, rest / 40 + 2400 / 40)):
        machine = Machine(1, Device("", 0, rates, rates, 1.0, 0.0), here=True, is_cpu=is_cpu, notes=())
        assert task.seconds(machine, 1) == pytest.approx(seconds)


def test_a_sentence_encoder_counts_as_its_job_does(tmp_path):
    folder = save_encoder(tmp_path / "encoder")
    spec = spec_of(tmp_path, folder, tokens_per_batch=20, samples_per_shard=3)
    before = SPENT.forward_flops
    embed_sentences(spec, tmp_path / "out")
    # The words of the four texts. Two tokens stand around each, and 10 are read.
    texts = lengths((3, 4), (1, 1), (1, 30), (0, 0))
    found = arithmetic.sentences(read_encoder_shape(folder), texts, spec.scoring)
    assert found.forward_flops == SPENT.forward_flops - before > 0


def test_a_training_by_hand():
    recipe = FineTuningSettings(epochs=3, global_batch=2, batch_per_device=2, max_length=8)
    found = arithmetic.training(TINY, lengths((3, 2), (20, 4)), recipe, Extra(2, 1, ()))
    # The longer one is cut to 8, the other has 3 + 2 + 1. Logits: of 2 + 1 tokens, and 5 * 8 / 25.
    forward = 2 * 14 * 640 + 2 * (3 + 1) * 80 + 32 * (6**2 + 8**2)
    assert (found.tokens, found.forward_flops, found.backward_flops) == (3 * 14, 3 * forward, 3 * 2 * forward)
    assert found.float32_flops == 0


def test_what_a_cut_at_the_end_leaves_out():
    rows = lengths((3, 2), (20, 4))
    assert trained(rows, FineTuningSettings(max_length=8), 1).tolist() == [6, 8]
    assert trained(rows, FineTuningSettings(max_length=8, cut="tail"), 1).tolist() == [6]
    assert targets(rows, FineTuningSettings(max_length=8), 1).tolist() == [3, 1]
    assert targets(rows, FineTuningSettings(max_length=8, cut="tail"), 1).tolist() == [3]


def test_a_part_stands_for_a_large_pool(monkeypatch):
    whole = assumed(40_000, 100, 40, "assumed")
    scoring = ScoringSettings(max_length=512, tokens_per_batch=4096, samples_per_shard=500)

    def work(part):
        return arithmetic.likelihood(TINY, part, scoring, Extra(2, 1, ()))

    monkeypatch.setattr(arithmetic, "MOST_ROWS", 8_192)
    assert arithmetic.of_all(whole, work).forward_flops == pytest.approx(work(whole).forward_flops, rel=0.02)


def test_a_large_pool_is_padded_as_its_own_shards_are():
    generator = np.random.default_rng(0)
    prompt, answer = (np.minimum(generator.lognormal(6, 0.8, 300_000), 2048).astype(np.int64) for _ in range(2))
    whole, scoring = Lengths(prompt, answer, "drawn"), ScoringSettings(tokens_per_batch=65_536)
    size, shard, extra = scoring.tokens_per_batch, scoring.samples_per_shard, Extra(0, 1, ())
    found = arithmetic.of_all(whole, lambda part: arithmetic.likelihood(TINY, part, scoring, extra))
    tokens = sum(
        int(padded(each, size, prompt + answer, shard).prod(axis=1).sum()) for each in (prompt + answer, answer)
    )
    assert found.tokens == tokens


def test_assumed_lengths_have_the_means_they_say():
    found = assumed(10_000, 400, 200, "assumed")
    assert (found.prompt + found.answer).mean() == pytest.approx(400, rel=0.01)
    assert found.answer.mean() == pytest.approx(200, rel=0.01)
    assert not found.measured


def test_a_pool_of_files_is_as_large_as_its_files(tmp_path):
    row = '{"messages": [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "Hi"}]}\n'
    (tmp_path / "chats.jsonl").write_text(row * 300)
    source = {"files": str(tmp_path / "*.jsonl")}
    assert len(guessed_lengths(PoolSettings.model_validate({"source": source}))) == pytest.approx(300, rel=0.02)
    assert len(guessed_lengths(PoolSettings.model_validate({"source": source, "limit": 7}))) == 7
    # What is longer is left out.
    short = guessed_lengths(PoolSettings.model_validate({"source": source, "max_characters": 60}))
    assert 0 < len(short) < 200
    assert (short.prompt + short.answer).max() <= 60 / 4.2


ROW = b'{"messages": [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "Hi"}]}'


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (b"\n".join([ROW] * 30), 30),
        (b"\xef\xbb\xbf" + b"\n".join([ROW] * 30), 30),
        (b"[" + b",".join([ROW] * 30) + b"]", 30),
        (b"\xef\xbb\xbf [" + b",".join([ROW] * 30) + b"]", 30),
        # Rows of 2,000 bytes are assumed where a list cannot be read.
        (b"[" + b"1, " * 2_000, 3),
        (b"[" * 4_000, 2),
        (b"[" + b"\xff" * 3_999, 2),
        (b"7", 1),
        (b"\xff\xfe", 1),
        (b"", 1),
    ],
    ids=["lines", "lines, BOM", "list", "list, BOM", "cut off", "deep", "not UTF-8", "scalar", "binary", "empty"],
)
def test_any_json_file_has_a_size(tmp_path, text, rows):
    (tmp_path / "chats.json").write_bytes(text)
    pool = PoolSettings.model_validate({"source": {"files": str(tmp_path / "chats.json")}})
    assert len(guessed_lengths(pool)) == pytest.approx(rows, abs=1 if rows == 30 else 0)


def test_a_row_of_a_table_may_have_several_lines(tmp_path):
    (tmp_path / "chats.csv").write_bytes(b"instruction,output\r\n" + b'"Say ""hi""\r\n\r\ntwice","hi\nhi"\r\n' * 300)
    pool = PoolSettings.model_validate({"source": {"files": str(tmp_path / "chats.csv")}})
    assert len(guessed_lengths(pool)) == pytest.approx(300, rel=0.01)


def test_parquet_files_say_how_many_rows_they_have(tmp_path):
    # 2,000 bytes of text a row, of which compression leaves next to nothing.
    rows = [f"{number:04}" + "a" * 1996 for number in range(50)]
    for name, part in (("a", rows[:30]), ("b", rows[30:])):
        file = tmp_path / f"{name}.parquet"
        plain = {"use_dictionary": False, "write_statistics": False, "row_group_size": 20}
        pq.write_table(pa.table({"text": part}), file, compression="zstd", **plain)
    source = {"files": str(tmp_path / "*.parquet")}
    found = guessed_lengths(PoolSettings.model_validate({"source": source}))
    assert len(found) == 50
    assert (found.prompt + found.answer).mean() == pytest.approx(0.9 * 2000 / 4.2, rel=0.02)
    assert found.known.startswith("50 conversations by the rows of its files, assumed 4")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 10_000
    assert len(guessed_lengths(PoolSettings.model_validate({"source": source, "limit": 7}))) == 7
    # A folder with the layout of a data set of the hub.
    assert len(guessed_lengths(PoolSettings.model_validate({"source": {"hub": str(tmp_path), "split": "all"}}))) == 50


def test_files_are_found_as_the_pool_finds_them(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for file in ("a/one.jsonl", "a/b/two.jsonl", "a/b/notes.txt"):
        (tmp_path / file).write_bytes((ROW + b"\n") * 50)
    found = guessed_lengths(PoolSettings.model_validate({"source": {"files": str(tmp_path / "a/**/*.jsonl")}}))
    assert len(found) == pytest.approx(100, rel=0.02)
    folder = guessed_lengths(PoolSettings.model_validate({"source": {"files": str(tmp_path / "a")}}))
    assert len(folder) == len(found)
    nothing = guessed_lengths(PoolSettings.model_validate({"source": {"files": str(tmp_path / "c/*.jsonl")}}))
    assert nothing.known.endswith("as none of its files is there yet")


@pytest.mark.parametrize(
    ("words", "found"),
    [("8 x 80 GB", "8 x H100 80 GB"), ("24GB", "1 x RTX 4090 24 GB"), ("4 x A100", "4 x A100 80 GB")],
)
def test_machines_in_words(words, found):
    assert str(stated_machine(words)) == found


@pytest.mark.parametrize("words", ["", "8 x 81 GB", "0 x 80 GB", "a laptop"])
def test_an_unknown_machine_is_refused(words):
    with pytest.raises(PlatformError, match=r"--machine .*: not known; write a number and the memory"):
        stated_machine(words)
