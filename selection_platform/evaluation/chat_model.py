"""A model with lm-eval's interface, which reads the same text as in training.

lm-eval passes chat messages. The renderer gives the prompt's text and token ids, so that a benchmark prompt is
tokenised exactly as a training row. (lm-eval's own wrapper tokenises the joined text, and would move the space of the
paper's "Assistant: " into the answer.) Decoding is always greedy. Prompts that leave too little room for the answer are
cut at the beginning, and counted.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from selection_platform.models.head import float32_logits
from selection_platform.models.supported import positions
from selection_platform.text.conversation import to_messages
from selection_platform.text.renderer import Prompt, Renderer

_DEFAULT_NEW_TOKENS = 256
_NEW_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class Continuation:
    """An answer to score after its context, both as token ids."""

    context: list[int]
    answer: list[int]

    @property
    def row(self) -> tuple[int, ...]:
        """The model's input to predict the answer's tokens. Answers that differ only in the last token share it."""
        return (*self.context, *self.answer[:-1])


class StopAt(StoppingCriteria):
    """Ends a row of a batch when its new text contains a stop string."""

    def __init__(self, stops: Sequence[str], tokenizer: PreTrainedTokenizerBase, prompt_width: int) -> None:
        self.stops = stops
        self.tokenizer = tokenizer
        self.prompt_width = prompt_width
        # A token has at least one byte, so a stop string that was just completed is within this many tokens.
        self.window = max(len(stop.encode()) for stop in stops) + 1

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor, **_: Any) -> torch.BoolTensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A boolean for each row of `input_ids` (rows x tokens)."""
        tails = self.tokenizer.batch_decode(input_ids[:, self.prompt_width :][:, -self.window :])
        stopped = [any(stop in tail for stop in self.stops) for tail in tails]
        return torch.tensor(stopped, device=input_ids.device)  # pyright: ignore[reportReturnType]


class ChatModel(LM):
    """The model and tokenizer with lm-eval's interface, in one process.

    Args:
        model: in evaluation mode, on its device.
        renderer: how conversations become text for it.
        batch_size: prompts per batch.
        on_answer: called with the number of requests that were just answered.
        on_requests: called with the number of new requests.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        renderer: Renderer,
        batch_size: int,
        on_answer: Callable[[int], None] = lambda _: None,
        on_requests: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.model = model
        # A checkpoint may ship its own settings, such as a repetition penalty; here all models decode the same way.
        self.model.generation_config = GenerationConfig()
        self.renderer = renderer
        self.tokenizer: Any = renderer.tokenizer
        self.batch_size = batch_size
        self.on_answer, self.on_requests = on_answer, on_requests
        self.max_length = positions(model.config) or sys.maxsize
        self.truncated_prompts = 0
        self.cut_off: set[str] = set()
        """Prompts, by their text, whose answer was not at its end when no more tokens were allowed."""
        self._prompts: dict[str, Prompt] = {}

    @property
    def tokenizer_name(self) -> str:
        """Part of the key of lm-eval's request cache, which is not used."""
        return ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt's text. Its token ids are stored by this text.

        Args:
            chat_history: messages with role and content.
            add_generation_prompt: False if the last message is the beginning of the assistant's answer.
        """
        messages = to_messages(chat_history)
        beginning = "" if add_generation_prompt else messages.pop().content
        prompt = self.renderer.prompt(messages, beginning)
        self._prompts[prompt.text] = prompt
        return prompt.text

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The greedy answer to each request's prompt, cut before the first stop string."""
        self.on_requests(len(requests))
        answers = [""] * len(requests)
        for settings, indices in self._by_settings(requests):
            new_tokens, stops = settings
            lengths = [len(self._prompts[request.arguments[0]].ids) for request in requests]
            for batch in self._batches(indices, lengths):
                prompts = [self._prompts[requests[index].arguments[0]].ids for index in batch]
                for index, (answer, ended) in zip(batch, self._generate(prompts, new_tokens, stops), strict=True):
                    answers[index] = answer
                    if not ended:
                        self.cut_off.add(requests[index].arguments[0])
                self.on_answer(len(batch))
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """The log-likelihood (nats) of each answer after its prompt, and whether it is the greedy answer."""
        self.on_requests(len(requests))
        prompts = [self._prompts[request.arguments[0]] for request in requests]
        continuations = [
            Continuation(prompt.ids, self.renderer.continuation(prompt, request.arguments[1]))
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        by_row: dict[tuple[int, ...], list[int]] = {}
        for index, continuation in enumerate(continuations):
            by_row.setdefault(continuation.row, []).append(index)
        rows = list(by_row)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for batch in self._batches(range(len(rows)), [len(row) for row in rows]):
            indices = [index for row in batch for index in by_row[rows[row]]]
            keep = max(len(continuations[index].answer) for index in indices)
            log_probs = self._last_log_probs([list(rows[row]) for row in batch], keep)
            for place, row in enumerate(batch):
                for index in by_row[rows[row]]:
                    results[index] = _read_off(log_probs[place], continuations[index].answer)
            self.on_answer(len(indices))
        return results

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not supported: a whole document is not a chat.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "tasks that score whole documents (loglikelihood_rolling) are not supported in chat form"
        )

    def _by_settings(self, requests: list[Instance]) -> Iterator[tuple[tuple[int, tuple[str, ...]], list[int]]]:
        """Indices of requests that share the number of new tokens and the stop strings."""
        groups: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        for index, request in enumerate(requests):
            settings = request.arguments[1]
            limits = (settings[key] for key in _NEW_TOKENS_KEYS if settings.get(key))
            stops = settings.get("until") or []
            stops = [stops] if isinstance(stops, str) else list(stops)
            key = (int(next(limits, _DEFAULT_NEW_TOKENS)), (*stops, *filter(None, [self.renderer.next_turn])))
            groups.setdefault(key, []).append(index)
        yield from groups.items()

    def _batches(self, indices: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
        """Batches of indices, longest first, so that memory runs out early if it does.

        A row less than half as long as its batch's longest begins a new batch: with a single long prompt among short
        ones, most of a batch would be padding.
        """
        order = sorted(indices, key=lambda index: (-lengths[index], index))
        batch: list[int] = []
        for index in order:
            if batch and (len(batch) == self.batch_size or 2 * lengths[index] < lengths[batch[0]]):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], new_tokens: int, stops: tuple[str, ...]) -> list[tuple[str, bool]]:
        # An answer gets at most half of a short context, so that the question keeps its place.
        new_tokens = min(new_tokens, self.max_length // 2)
        tokens, is_text = self._left_padded(prompts, self.max_length - new_tokens)
        generated: Any = self.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=tokens,
            attention_mask=is_text,
            max_new_tokens=new_tokens,
            stopping_criteria=StoppingCriteriaList([StopAt(stops, self.tokenizer, tokens.shape[1])] if stops else []),
            eos_token_id=list(self.renderer.ends),
            pad_token_id=self.tokenizer.eos_token_id,
            do_sample=False,
        )
        return [self._answer(row, stops) for row in generated[:, tokens.shape[1] :].tolist()]

    def _answer(self, ids: list[int], stops: tuple[str, ...]) -> tuple[str, bool]:
        """The text before the end of the turn and before the first stop string, and whether there is one of them."""
        end = next((place for place, token in enumerate(ids) if token in self.renderer.ends), len(ids))
        text: str = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        stop = min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))
        return text[:stop], end < len(ids) or stop < len(text)

    @torch.inference_mode()
    def _last_log_probs(self, rows: list[list[int]], keep: int) -> torch.Tensor:
        """Log-probabilities of the token after each of a row's last `keep` tokens, rows x keep x vocabulary."""
        tokens, is_text = self._left_padded(rows, self.max_length)
        positions = (is_text.cumsum(dim=-1) - 1).clamp(min=0)
        with float32_logits(self.model):
            logits = self.model(
                input_ids=tokens, attention_mask=is_text, position_ids=positions, use_cache=False, logits_to_keep=keep
            ).logits
        return logits.float().log_softmax(dim=-1).cpu()

    def _left_padded(self, rows: list[list[int]], longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, rows x tokens.

        A longer row keeps its last `longest` tokens, including the beginning-of-sequence token if there is one.
        """
        self.truncated_prompts += sum(len(row) > longest for row in rows)
        bos = self.renderer.bos
        kept = [row if len(row) <= longest else bos + row[len(bos) - longest :] for row in rows]
        width = max(map(len, kept))
        tokens = torch.full((len(rows), width), self.tokenizer.eos_token_id, dtype=torch.long)
        is_text = torch.zeros_like(tokens)
        for place, row in enumerate(kept):
            tokens[place, width - len(row) :] = torch.tensor(row)
            is_text[place, width - len(row) :] = 1
        return tokens.to(self.model.device), is_text.to(self.model.device)


def _read_off(log_probs: torch.Tensor, answer: list[int]) -> tuple[float, bool]:
    """The answer's log-likelihood, and whether all its tokens are the likeliest. `log_probs`: keep x vocabulary."""
    last = log_probs[-len(answer) :]
    target = torch.tensor(answer)
    likelihood = last.gather(1, target[:, None]).sum().item()
    return likelihood, bool((last.argmax(dim=1) == target).all())
