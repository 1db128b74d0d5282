"""Token counts against the renderer and against counts made by hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from selection_platform.configuration.text_settings import PAPER
from selection_platform.features.token_count import count_tokens, tokenize_last_answers, write_token_counts
from selection_platform.text.conversation import Message
from selection_platform.text.rendering import tokenize_last_answer
from selection_platform.text.template_choice import make_renderer
from tests.tiny import paper


def make_tokenizer(vocab: int = 300, corpus: tuple[str, ...] = ("Human: the cat\nAssistant: the hat",)):
    """A byte-level BPE tokenizer; with 257 entries it has no merges, so that tokens are bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


def sample_batch(conversations: list[list[Message]]) -> pa.RecordBatch:
    records = [[{"role": m.role, "content": m.content} for m in messages] for messages in conversations]
    return pa.RecordBatch.from_pydict(
        {"sample_id": [f"s{index}" for index in range(len(records))], "messages": records},
        schema=pa.schema(
            [
                ("sample_id", pa.string()),
                ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            ]
        ),
    )


def test_the_published_count_misses_id_0():
    # The only id 0 of this tokenizer is <eos>, which as text of an answer is one token where it is let.
    renderer = make_renderer(make_tokenizer(vocab=257), PAPER.model_copy(update={"control_tokens": True}))
    (counts,) = count_tokens(renderer, [sample_batch([[user("ab"), assistant("!<eos>!")]])])
    assert counts["answer_tokens"].to_pylist() == [3]
    assert counts["nonzero_answer_tokens"].to_pylist() == [2]


def test_the_published_border_takes_the_first_word_for_the_cues():
    merging = make_tokenizer(vocab=400, corpus=("Assistant: Paris is the capital", " Paris Paris Paris Paris"))
    bytes_only = make_tokenizer(vocab=257)
    conversation = [user("Name it"), assistant("Paris is")]
    ((pieces,), (joint,)) = (
        tokenize_last_answers([conversation], paper(merging), boundary) for boundary in ("pieces", "joint")
    )
    assert merging.decode(pieces.answer) == merging.decode(pieces.answer_after_cue) == "Paris is"
    # Before the answer stands "Assistant:" without its space, so that nothing merges there but words begin unlike.
    assert merging.decode(joint.answer) == "Paris is"
    # Behind "Assistant: " the space has merged with the first word, which is then taken for the cue's.
    assert merging.decode(joint.answer_after_cue) == " is"
    (plain,) = tokenize_last_answers([conversation], paper(bytes_only), "joint")
    assert plain.answer == plain.answer_after_cue == bytes_only.encode("Paris is", add_special_tokens=False)


def test_counts_bytes_by_hand():
    conversations = [
        [user("ab"), assistant("!!!")],  # "Human: ab\nAssistant: " is 21 bytes
        [user("ab"), assistant("")],
        [Message("system", "S"), user("a"), assistant("xy"), user("b"), assistant("é")],
    ]
    (counts,) = count_tokens(paper(make_tokenizer(vocab=257)), [sample_batch(conversations)])
    # third: "S\n" 2, first turn 20, "xy" 2, eos 1, "\nHuman: b\nAssistant: " 21
    assert counts.to_pydict() == {
        "sample_id": ["s0", "s1", "s2"],
        "prompt_tokens": [21, 21, 46],
        "answer_tokens": [3, 0, 2],
        "nonzero_answer_tokens": [3, 0, 2],
    }


texts = st.lists(st.sampled_from([*"the cat!\n é<>", "<eos>"]), max_size=12).map("".join)
turns = st.lists(st.tuples(texts, texts), min_size=1, max_size=3)


@pytest.mark.parametrize("control_tokens", [False, True])
@given(drawn=st.lists(turns, min_size=1, max_size=4))
@settings(max_examples=25)
def test_a_batch_has_the_ids_of_the_reference(control_tokens: bool, drawn: list[list[tuple[str, str]]]):
    conversations = [[m for q, a in pairs for m in (user(q), assistant(a))] for pairs in drawn]
    reference = make_tokenizer()
    # Where control tokens are off, the tokenizer itself is asked not to look for them.
    reference.split_special_tokens = not control_tokens
    expected = [tokenize_last_answer(messages, reference) for messages in conversations]  # pyright: ignore[reportArgumentType]
    renderer = make_renderer(make_tokenizer(), PAPER.model_copy(update={"control_tokens": control_tokens}))
    assert tokenize_last_answers(conversations, renderer) == expected


def test_writes_every_sample_without_reading_weights(tmp_path: Path):
    make_tokenizer().save_pretrained(tmp_path / "model")
    conversations = [[user(f"question {n}"), assistant("the hat " * (n % 7))] for n in range(1100)]
    pq.write_table(pa.Table.from_batches([sample_batch(conversations)]), tmp_path / "samples.parquet")
    summary = write_token_counts(tmp_path / "model", tmp_path / "samples.parquet", tmp_path / "counts.parquet", PAPER)
    counts = pq.read_table(tmp_path / "counts.parquet").to_pydict()
    assert counts["sample_id"] == [f"s{n}" for n in range(1100)]
    assert summary.samples == 1100
    assert summary.prompt_tokens == sum(counts["prompt_tokens"])
    assert summary.answer_tokens == sum(counts["answer_tokens"])
    assert counts["answer_tokens"][:2] == [0, len(make_tokenizer().encode("the hat ", add_special_tokens=False))]


def test_a_failure_leaves_no_file(tmp_path: Path):
    make_tokenizer().save_pretrained(tmp_path / "model")
    pq.write_table(pa.table({"sample_id": ["s0"]}), tmp_path / "samples.parquet")
    with pytest.raises(KeyError, match="messages"):
        write_token_counts(tmp_path / "model", tmp_path / "samples.parquet", tmp_path / "counts.parquet", PAPER)
    assert not (tmp_path / "counts.parquet").exists()
