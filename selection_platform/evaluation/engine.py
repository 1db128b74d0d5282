"""What answers an evaluation's prompts: token ids go in, token ids and log-likelihoods come out.

`ChatModel` makes the prompts and reads the answers, so the text is the same whatever computes. `TransformersEngine` is
the engine of this process; `vllm_engine` has the other.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from selection_platform.models.head import float32_logits
from selection_platform.models.supported import positions
from selection_platform.text.renderer import Renderer

Likelihood = tuple[float, bool]
"""The log-likelihood (nats) of an answer, and whether each of its tokens is the likeliest."""


@dataclass(frozen=True)
class Continuation:
    """An answer to score after its context, both as token ids."""

    context: list[int]
    answer: list[int]

    @property
    def row(self) -> tuple[int, ...]:
        """The model's input to predict the answer's tokens. Answers that differ only in the last token share it."""
        return (*self.context, *self.answer[:-1])


class Engine(Protocol):
    """What answers prompts.

    Attributes:
        max_length: the longest sequence that the model takes, in tokens.
    """

    max_length: int

    def generate(
        self, prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...]
    ) -> Iterator[tuple[int, list[int]]]:
        """Greedy answers as they are finished, each with its prompt's place.

        Args:
            prompts: token ids, which leave room for the new tokens.
            new_tokens: most tokens of an answer.
            stops: strings at which an answer may end. What is behind them does not count.

        Yields:
            The place, and the answer's tokens; the one that ends the turn may be among them.
        """
        ...

    def log_likelihoods(self, continuations: Sequence[Continuation]) -> Iterator[tuple[int, Likelihood]]:
        """The log-likelihood of each answer after its context, as they are finished, with its place."""
        ...


def cut_into_batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Batches of indices, longest first, so that memory runs out early if it does.

    A row less than half as long as its batch's longest begins a new batch: with a single long prompt among short ones,
    most of a batch would be padding. The rows of some batches alone, in their order, give the same batches again.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) == batch_size or 2 * lengths[index] < lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def by_row(continuations: Sequence[Continuation]) -> dict[tuple[int, ...], list[int]]:
    """The places of continuations by the row that they share."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, continuation in enumerate(continuations):
        places.setdefault(continuation.row, []).append(place)
    return places


class StopAt(StoppingCriteria):
    """Ends a row of a batch when its new text contains a stop string.

    Attributes:
        lengths: by row, the number of new tokens with which it ended.
    """

    def __init__(self, stops: Sequence[str], tokenizer: PreTrainedTokenizerBase, prompt_width: int) -> None:
        self.stops = stops
        self.tokenizer = tokenizer
        self.prompt_width = prompt_width
        # A token has at least one byte, so a stop string that was just completed is within this many tokens.
        self.window = max((len(stop.encode()) for stop in stops), default=0) + 1
        self.lengths: dict[int, int] = {}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor, **_: Any) -> torch.BoolTensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A boolean for each row of `input_ids` (rows x tokens)."""
        new = input_ids[:, self.prompt_width :]
        tails = self.tokenizer.batch_decode(new[:, -self.window :])
        stopped = [any(stop in tail for stop in self.stops) for tail in tails]
        for row in (row for row, stops in enumerate(stopped) if stops):
            self.lengths.setdefault(row, new.shape[1])
        return torch.tensor(stopped, device=input_ids.device)  # pyright: ignore[reportReturnType]


class TransformersEngine:
    """A model of transformers in this process.

    Args:
        model: in evaluation mode, on its device.
        renderer: of its tokenizer.
        batch_size: prompts per batch.
    """

    def __init__(self, model: PreTrainedModel, renderer: Renderer, batch_size: int) -> None:
        self.model = model
        # A checkpoint may ship its own settings, such as a repetition penalty; here all models decode the same way.
        self.model.generation_config = GenerationConfig()
        self.tokenizer: Any = renderer.tokenizer
        self.ends = list(renderer.ends)
        self.batch_size = batch_size
        self.max_length = positions(model.config) or sys.maxsize

    def generate(
        self, prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...]
    ) -> Iterator[tuple[int, list[int]]]:
        """See `Engine`."""
        for batch in cut_into_batches([len(prompt) for prompt in prompts], self.batch_size):
            answers = self._generate([prompts[index] for index in batch], new_tokens, stops)
            yield from zip(batch, answers, strict=True)

    def log_likelihoods(self, continuations: Sequence[Continuation]) -> Iterator[tuple[int, Likelihood]]:
        """See `Engine`."""
        places = by_row(continuations)
        rows = list(places)
        for batch in cut_into_batches([len(row) for row in rows], self.batch_size):
            keep = max(len(continuations[index].answer) for row in batch for index in places[rows[row]])
            log_probs = self._last_log_probs([list(rows[row]) for row in batch], keep)
            for place, row in enumerate(batch):
                for index in places[rows[row]]:
                    yield index, _read_off(log_probs[place], continuations[index].answer)

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], new_tokens: int, stops: tuple[str, ...]) -> list[list[int]]:
        tokens, is_text = self._left_padded(prompts)
        stop_at = StopAt(stops, self.tokenizer, tokens.shape[1])
        generated: Any = self.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=tokens,
            attention_mask=is_text,
            max_new_tokens=new_tokens,
            stopping_criteria=StoppingCriteriaList([stop_at] if stops else []),
            eos_token_id=self.ends,
            pad_token_id=self.tokenizer.eos_token_id,
            do_sample=False,
        )
        rows: list[list[int]] = generated[:, tokens.shape[1] :].tolist()
        return [self._until_end(ids[: stop_at.lengths.get(place)]) for place, ids in enumerate(rows)]

    def _until_end(self, ids: list[int]) -> list[int]:
        """The tokens up to the one that ends the turn: behind it is the batch's padding."""
        end = next((place for place, token in enumerate(ids) if token in self.ends), len(ids))
        return ids[: end + 1]

    @torch.inference_mode()
    def _last_log_probs(self, rows: list[list[int]], keep: int) -> torch.Tensor:
        """Log-probabilities of the token after each of a row's last `keep` tokens, rows x keep x vocabulary."""
        tokens, is_text = self._left_padded(rows)
        positions = (is_text.cumsum(dim=-1) - 1).clamp(min=0)
        with float32_logits(self.model):
            logits = self.model(
                input_ids=tokens, attention_mask=is_text, position_ids=positions, use_cache=False, logits_to_keep=keep
            ).logits
        return logits.float().log_softmax(dim=-1).cpu()

    def _left_padded(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, rows x tokens."""
        width = max(map(len, rows))
        tokens = torch.full((len(rows), width), self.tokenizer.eos_token_id, dtype=torch.long)
        is_text = torch.zeros_like(tokens)
        for place, row in enumerate(rows):
            tokens[place, width - len(row) :] = torch.tensor(row)
            is_text[place, width - len(row) :] = 1
        return tokens.to(self.model.device), is_text.to(self.model.device)


def _read_off(log_probs: torch.Tensor, answer: list[int]) -> Likelihood:
    """The answer's log-likelihood, and whether all its tokens are the likeliest. `log_probs`: keep x vocabulary."""
    last = log_probs[-len(answer) :]
    target = torch.tensor(answer)
    likelihood = last.gather(1, target[:, None]).sum().item()
    return likelihood, bool((last.argmax(dim=1) == target).all())
