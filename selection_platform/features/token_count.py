"""Token counts of prompts and last answers: what the token-length method ranks by. Needs a tokenizer, no weights.

The tokenizer is asked for a whole batch of texts at a time, so that a fast one uses every core; the ids are those of
`rendering.tokenize_last_answer`, piece by piece.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from selection_platform.job.folder import whole_file
from selection_platform.job.progress import progress
from selection_platform.models.loading import load_tokenizer
from selection_platform.text.conversation import Message, to_messages
from selection_platform.text.rendering import (
    ANSWER_CUE,
    LastAnswer,
    joint_texts,
    pieces,
    tokenize_last_answer,
    tokenize_last_answer_jointly,
)

ROWS_PER_BATCH = 1024

Boundary = Literal["pieces", "joint"]
"""How prompt and answer are told apart: tokenised in pieces, or jointly with the border guessed, as was published."""

TOKEN_COUNTS = pa.schema(
    [
        ("sample_id", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("answer_tokens", pa.int32()),
        ("nonzero_answer_tokens", pa.int32()),
    ]
)


@dataclass(frozen=True)
class TokenCountSummary:
    """Totals of one counting job."""

    samples: int
    prompt_tokens: int
    answer_tokens: int


class _EncodedTexts:
    """A tokenizer for texts that were all tokenised beforehand, in one call."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> None:
        distinct = list(dict.fromkeys(texts))
        self.eos_token_id: int = tokenizer.eos_token_id  # pyright: ignore[reportAttributeAccessIssue]
        # verbose=False: a text longer than the model's window is expected here, and no reason for a warning.
        encoded = tokenizer(distinct, add_special_tokens=False, return_attention_mask=False, verbose=False)
        self._ids: dict[str, list[int]] = dict(zip(distinct, encoded["input_ids"], strict=True))

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Token ids of a text, always without special tokens."""
        assert not add_special_tokens
        return self._ids[text]


def tokenize_last_answers(
    conversations: Sequence[Sequence[Message]], tokenizer: PreTrainedTokenizerBase, boundary: Boundary = "pieces"
) -> list[LastAnswer]:
    """The last answer of each conversation, as `rendering` tokenises it, with one call of the tokenizer for all."""
    if boundary == "pieces":
        texts = [piece.text for messages in conversations for piece in pieces(messages)]
        tokenize = tokenize_last_answer
    else:
        joined = [joint_texts(messages) for messages in conversations]
        texts = [text for prompt, answer in joined for text in (prompt, prompt + answer, ANSWER_CUE + answer)]
        tokenize = tokenize_last_answer_jointly
    encoded = _EncodedTexts(tokenizer, [ANSWER_CUE, *texts])
    return [tokenize(messages, encoded) for messages in conversations]


def read_last_answers(
    samples: Iterable[pa.RecordBatch], tokenizer: PreTrainedTokenizerBase, boundary: Boundary = "pieces"
) -> Iterator[tuple[pa.Array, list[LastAnswer]]]:
    """Ids and tokens of samples, batch by batch.

    Args:
        samples: batches with the columns `sample_id` (string) and `messages` (list of `{role, content}`), the messages
            in normal form.
        tokenizer: as `load_tokenizer` returns it.
        boundary: how prompt and answer are told apart.
    """
    for batch in samples:
        conversations = [to_messages(records) for records in batch["messages"].to_pylist()]
        yield batch["sample_id"].cast(pa.string()), tokenize_last_answers(conversations, tokenizer, boundary)


def sample_batches(samples_file: Path) -> Iterator[pa.RecordBatch]:
    """The samples of a Parquet file, `ROWS_PER_BATCH` at a time."""
    with pq.ParquetFile(samples_file) as file:
        yield from file.iter_batches(ROWS_PER_BATCH, columns=["sample_id", "messages"])


def count_tokens(tokenizer: PreTrainedTokenizerBase, samples: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Whole, untruncated token counts: batches of `TOKEN_COUNTS`, in the order of the samples.

    The answer is counted without its end-of-sequence token; the prompt is everything before the answer. Token id 0
    counts like any other, but in `nonzero_answer_tokens`: the published script (`token_length/compute_token_num.py`)
    leaves it out, and so misses every "!" of Qwen's vocabulary.
    """
    for sample_ids, answers in read_last_answers(samples, tokenizer):
        prompt_tokens = pa.array([len(last.prompt) for last in answers], pa.int32())
        answer_tokens = pa.array([len(last.answer) for last in answers], pa.int32())
        nonzero = pa.array([len(last.answer) - last.answer.count(0) for last in answers], pa.int32())
        yield pa.record_batch([sample_ids, prompt_tokens, answer_tokens, nonzero], schema=TOKEN_COUNTS)


def write_token_counts(model_folder: Path, samples_file: Path, output: Path) -> TokenCountSummary:
    """Count the tokens of every sample and write them to a Parquet file of `TOKEN_COUNTS`.

    Args:
        model_folder: a folder with a tokenizer; its weights are neither needed nor read.
        samples_file: Parquet with `sample_id` and `messages`.
        output: the file to write; it appears only when it is whole.
    """
    tokenizer = load_tokenizer(model_folder)
    samples = prompt_tokens = answer_tokens = 0
    total = pq.read_metadata(samples_file).num_rows
    with (
        whole_file(output) as temporary,
        pq.ParquetWriter(temporary, TOKEN_COUNTS) as writer,
        progress("counting tokens", total, "samples") as counter,
    ):
        for counts in count_tokens(tokenizer, sample_batches(samples_file)):
            writer.write_batch(counts)
            samples += counts.num_rows
            prompt_tokens += sum(counts["prompt_tokens"].to_pylist())
            answer_tokens += sum(counts["answer_tokens"].to_pylist())
            counter.advance(counts.num_rows)
    return TokenCountSummary(samples, prompt_tokens, answer_tokens)
