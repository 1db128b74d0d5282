"""A model with lm-eval's interface, which reads the same text as in training.

lm-eval passes chat messages. The renderer gives the prompt's text and token ids, so that a benchmark prompt is
tokenised exactly as a training row. (lm-eval's own wrapper tokenises the joined text, and would move the space of the
paper's "Assistant: " into the answer.) An engine answers them, always greedily. Prompts that leave too little room for
the answer are cut at the beginning, and counted.
"""

from collections.abc import Iterator
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from selection_platform.evaluation.engine import Continuation, Engine
from selection_platform.text.conversation import to_messages
from selection_platform.text.renderer import Prompt, Renderer

_DEFAULT_NEW_TOKENS = 256
_NEW_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


class ChatModel(LM):
    """A model with lm-eval's interface.

    Args:
        engine: answers the prompts.
        renderer: how conversations become text for the model.
    """

    def __init__(self, engine: Engine, renderer: Renderer) -> None:
        super().__init__()
        self.engine = engine
        self.renderer = renderer
        self.tokenizer: Any = renderer.tokenizer
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
        answers = [""] * len(requests)
        for settings, indices in self._by_settings(requests):
            # An answer gets at most half of a short context, so that the question keeps its place.
            new_tokens, stops = min(settings[0], self.engine.max_length // 2), settings[1]
            room = self.engine.max_length - new_tokens
            prompts = [self._cut(self._prompts[requests[index].arguments[0]].ids, room) for index in indices]
            for place, ids in self.engine.generate(prompts, new_tokens, stops):
                answers[indices[place]], ended = self._answer(ids, stops)
                if not ended:
                    self.cut_off.add(requests[indices[place]].arguments[0])
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """The log-likelihood (nats) of each answer after its prompt, and whether it is the greedy answer."""
        continuations = self.continuations(requests)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for place, likelihood in self.engine.log_likelihoods(continuations):
            results[place] = likelihood
        return results

    def continuations(self, requests: list[Instance]) -> list[Continuation]:
        """The token ids of the answers that requests of `loglikelihood` ask for, and of their prompts."""
        prompts = [self._prompts[request.arguments[0]] for request in requests]
        answers = [
            self.renderer.continuation(prompt, request.arguments[1])
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        # Those that share a row are one input, which is counted once.
        cut: dict[tuple[int, ...], list[int]] = {}
        continuations: list[Continuation] = []
        for prompt, answer in zip(prompts, answers, strict=True):
            row = Continuation(prompt.ids, answer).row
            if row not in cut:
                cut[row] = self._cut(prompt.ids, self.engine.max_length - len(answer) + 1)
            continuations.append(Continuation(cut[row], answer))
        return continuations

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

    def _cut(self, ids: list[int], room: int) -> list[int]:
        """A longer prompt keeps its last tokens, and the beginning-of-sequence token if there is one."""
        if len(ids) <= room:
            return ids
        self.truncated_prompts += 1
        bos = self.renderer.bos
        return bos + ids[len(ids) - room + len(bos) :]

    def _answer(self, ids: list[int], stops: tuple[str, ...]) -> tuple[str, bool]:
        """The text before the end of the turn and before the first stop string, and whether there is one of them."""
        end = next((place for place, token in enumerate(ids) if token in self.renderer.ends), len(ids))
        text: str = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        stop = min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))
        return text[:stop], end < len(ids) or stop < len(text)
