"""Token counts of prompts and last answers, for the token-length method. They need a tokenizer but no weights.

The tokenizer encodes a whole batch of texts at a time, so that a fast one uses every core. The ids are those of the
model's renderer.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from selection_platform.configuration.text_settings import TextSettings
from selection_platform.job.folder import whole_file
from selection_platform.job.progress import progress
from selection_platform.models.renderers import load_renderer
from selection_platform.text.conversation import Message, to_messages
from selection_platform.text.renderer import Renderer
from selection_platform.text.rendering import ANSWER_CUE, LastAnswer, last_answers_jointly

ROWS_PER_BATCH = 1024

Boundary = Literal["pieces", "joint"]
"""How prompt and answer are separated: tokenised in pieces, or jointly with a guessed border, as published."""

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


def tokenize_last_answers(
    conversations: Sequence[Sequence[Message]], renderer: Renderer, boundary: Boundary = "pieces"
) -> list[LastAnswer]:
    """The last answer of each conversation, with one call of the tokenizer for all."""
    if boundary == "pieces":
        return renderer.last_answers(conversations)
    return last_answers_jointly(conversations, renderer.tokenizer)


def cue_length(renderer: Renderer, boundary: Boundary) -> int:
    """Number of tokens in the only context of an answer that is scored without its prompt."""
    if boundary == "pieces":
        return len(renderer.cue)
    return len(renderer.tokenizer.encode(ANSWER_CUE, add_special_tokens=False))


def read_last_answers(
    samples: Iterable[pa.RecordBatch], renderer: Renderer, boundary: Boundary = "pieces"
) -> Iterator[tuple[pa.Array, list[LastAnswer]]]:
    """Ids and tokens of samples, batch by batch.

    Args:
        samples: batches with the columns `sample_id` (string) and `messages` (list of `{role, content}`), the messages
            in normal form.
        renderer: the model's renderer.
        boundary: how prompt and answer are separated.
    """
    for batch in samples:
        conversations = [to_messages(records) for records in batch["messages"].to_pylist()]
        yield batch["sample_id"].cast(pa.string()), tokenize_last_answers(conversations, renderer, boundary)


def sample_batches(samples_file: Path) -> Iterator[pa.RecordBatch]:
    """The samples of a Parquet file, `ROWS_PER_BATCH` at a time."""
    with pq.ParquetFile(samples_file) as file:
        yield from file.iter_batches(ROWS_PER_BATCH, columns=["sample_id", "messages"])


def count_tokens(renderer: Renderer, samples: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Whole, untruncated token counts: batches of `TOKEN_COUNTS`, in the order of the samples.

    The answer is counted without the end of its turn; the prompt is everything before the answer. Token id 0 counts
    like any other, except in `nonzero_answer_tokens`: the published script (`token_length/compute_token_num.py`) leaves
    it out, and so misses every "!" in Qwen's vocabulary.
    """
    for sample_ids, answers in read_last_answers(samples, renderer):
        prompt_tokens = pa.array([len(last.prompt) for last in answers], pa.int32())
        answer_tokens = pa.array([len(last.answer) for last in answers], pa.int32())
        nonzero = pa.array([len(last.answer) - last.answer.count(0) for last in answers], pa.int32())
        yield pa.record_batch([sample_ids, prompt_tokens, answer_tokens, nonzero], schema=TOKEN_COUNTS)


def write_token_counts(model_folder: Path, samples_file: Path, output: Path, text: TextSettings) -> TokenCountSummary:
    """Count the tokens of every sample and write them to a Parquet file of `TOKEN_COUNTS`.

    Args:
        model_folder: a folder with a tokenizer; its weights are neither needed nor read.
        samples_file: Parquet with `sample_id` and `messages`.
        output: the file to write; it appears only when it is complete.
        text: how conversations become text.
    """
    renderer = load_renderer(model_folder, text)
    samples = prompt_tokens = answer_tokens = 0
    total = pq.read_metadata(samples_file).num_rows
    with (
        whole_file(output) as temporary,
        pq.ParquetWriter(temporary, TOKEN_COUNTS) as writer,
        progress("counting tokens", total, "samples") as counter,
    ):
        for counts in count_tokens(renderer, sample_batches(samples_file)):
            writer.write_batch(counts)
            samples += counts.num_rows
            prompt_tokens += sum(counts["prompt_tokens"].to_pylist())
            answer_tokens += sum(counts["answer_tokens"].to_pylist())
            counter.advance(counts.num_rows)
    return TokenCountSummary(samples, prompt_tokens, answer_tokens)
