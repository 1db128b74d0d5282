"""A model as lm-eval sees it, in the text that it was trained in.

lm-eval hands over chat messages; the prompt's text and token ids come from the renderer, so that a benchmark prompt is
tokenised exactly as a training row is (lm-eval's own wrapper tokenises the joined text, and would move the space of
the paper's "Assistant: " into the answer). Decoding is greedy, whatever a task asks for. Prompts that leave too little
room for the answer lose their beginning, and are counted.
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

from selection_platform.models.supported import positions
from selection_platform.text.conversation import to_messages
from selection_platform.text.renderer import Prompt, Renderer

_DEFAULT_NEW_TOKENS = 256
_NEW_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class Continuation:
    """An answer whose likelihood is asked: `context` and `answer` are token ids."""

    context: list[int]
    answer: list[int]

    @property
    def row(self) -> tuple[int, ...]:
        """What the model reads to predict every token of the answer. Answers that differ in the last share it."""
        return (*self.context, *self.answer[:-1])


class StopAt(StoppingCriteria):
    """Ends a row of a batch as soon as its new text holds one of the stop strings."""

    def __init__(self, stops: Sequence[str], tokenizer: PreTrainedTokenizerBase, prompt_width: int) -> None:
        self.stops = stops
        self.tokenizer = tokenizer
        self.prompt_width = prompt_width
        # A token has at least one byte, so a stop string that has just been completed lies within this many tokens.
        self.window = max(len(stop.encode()) for stop in stops) + 1

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor, **_: Any) -> torch.BoolTensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A boolean for each row of `input_ids` (rows x tokens)."""
        tails = self.tokenizer.batch_decode(input_ids[:, self.prompt_width :][:, -self.window :])
        stopped = [any(stop in tail for stop in self.stops) for tail in tails]
        return torch.tensor(stopped, device=input_ids.device)  # pyright: ignore[reportReturnType]


class ChatModel(LM):
    """The model and tokenizer behind lm-eval's interface, in one process.

    Args:
        model: in evaluation mode, on its device.
        renderer: how conversations become text for it.
        batch_size: prompts in a batch.
        on_answer: called with the number of requests that have just been answered.
        on_requests: called with the number of requests that are to be answered.
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
        # A checkpoint may ship settings of its own, such as a ban on repeated words; here all models decode alike.
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
        """The prompt's text; its token ids are remembered under it.

        Args:
            chat_history: messages with role and content.
            add_generation_prompt: False where the last message is the beginning of the assistant's answer.
        """
        messages = to_messages(chat_history)
        begun = "" if add_generation_prompt else messages.pop().content
        prompt = self.renderer.prompt(messages, begun)
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
        asked = [
            Continuation(prompt.ids, self.renderer.continuation(prompt, request.arguments[1]))
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        by_row: dict[tuple[int, ...], list[int]] = {}
        for index, continuation in enumerate(asked):
            by_row.setdefault(continuation.row, []).append(index)
        rows = list(by_row)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for batch in self._batches(range(len(rows)), [len(row) for row in rows]):
            indices = [index for row in batch for index in by_row[rows[row]]]
            keep = max(len(asked[index].answer) for index in indices)
            log_probs = self._last_log_probs([list(rows[row]) for row in batch], keep)
            for place, row in enumerate(batch):
                for index in by_row[rows[row]]:
                    results[index] = _read_off(log_probs[place], asked[index].answer)
            self.on_answer(len(indices))
        return results

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not offered: a whole document has no place in a chat.

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
        """Batches of indices, longest first, so that rows of like length share one and memory runs out early."""
        order = sorted(indices, key=lambda index: (-lengths[index], index))
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], new_tokens: int, stops: tuple[str, ...]) -> list[tuple[str, bool]]:
        # A short context is shared half and half, so that a long answer never squeezes out the question.
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
        """Rows x keep x vocabulary: log-probabilities of the token after each of a row's last `keep` tokens."""
        tokens, is_text = self._left_padded(rows, self.max_length)
        positions = (is_text.cumsum(dim=-1) - 1).clamp(min=0)
        logits = self.model(
            input_ids=tokens, attention_mask=is_text, position_ids=positions, use_cache=False, logits_to_keep=keep
        ).logits
        return logits.float().log_softmax(dim=-1).cpu()

    def _left_padded(self, rows: list[list[int]], longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, rows x tokens.

        Of a longer row the last `longest` tokens are kept, and the token for the beginning where there is one.
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
    """The answer's log-likelihood, and whether each of its tokens is the likeliest. `log_probs`: keep x vocabulary."""
    last = log_probs[-len(answer) :]
    target = torch.tensor(answer)
    likelihood = last.gather(1, target[:, None]).sum().item()
    return likelihood, bool((last.argmax(dim=1) == target).all())
