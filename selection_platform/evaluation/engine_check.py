"""Compares another engine with transformers on a few prompts of an evaluation, before it answers the rest.

Both continue the same prompts and score the same answers. What would make an engine wrong (other weights, another
number type, positions or tokens) shows in log-likelihoods. Answers alone may differ where two tokens are as likely as
each other, so that is told and counted.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from selection_platform.errors import NotFinite, PlatformError
from selection_platform.evaluation.engine import Continuation, Engine, Likelihood

logger = logging.getLogger(__name__)

PROMPTS = 8
"""Items of an evaluation that are compared."""
_NEW_TOKENS = 32
"""Most tokens of an answer that is compared."""
MOST_DIFFERENCE = {"float32": 1e-4, "bfloat16": 0.25}
"""Largest difference of log-likelihoods, in nats for each token. bfloat16 has three digits, and logits are above 10."""


Asked = tuple[list[int], int, tuple[str, ...]]
"""A prompt's token ids, the most new tokens, and the strings at which the answer may end."""


class EnginesDisagree(PlatformError):
    """An engine gives other log-likelihoods than transformers."""


@dataclass
class Noted:
    """What an evaluation asks of an engine. It is one that answers nothing, and only notes what it is asked.

    Attributes:
        max_length: see `Engine`.
        most_new_tokens: most tokens of an answer.
        prompts: to answer.
        continuations: to score.
    """

    max_length: int
    most_new_tokens: int = _NEW_TOKENS
    prompts: list[Asked] = field(default_factory=list)
    continuations: list[Continuation] = field(default_factory=list)

    def generate(
        self, prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...]
    ) -> Iterator[tuple[int, list[int]]]:
        """Note the prompts; the answers are empty."""
        self.prompts += ((prompt, min(new_tokens, self.most_new_tokens), stops) for prompt in prompts)
        yield from ((place, []) for place in range(len(prompts)))

    def log_likelihoods(self, continuations: Sequence[Continuation]) -> Iterator[tuple[int, Likelihood]]:
        """Note the continuations; the log-likelihoods are 0."""
        self.continuations += continuations
        yield from ((place, (0.0, False)) for place in range(len(continuations)))


@dataclass(frozen=True)
class Expected:
    """What transformers gives: the answers to the prompts, and the log-likelihoods of these and of other answers."""

    prompts: list[Asked]
    answers: list[list[int]]
    continuations: list[Continuation]
    log_likelihoods: list[float]


@dataclass(frozen=True)
class Agreement:
    """How far two engines agree.

    Attributes:
        answers: number of answers that both wrote.
        equal_answers: how many of these have the same tokens.
        scored: number of answers that both scored.
        largest_difference: of their log-likelihoods, in nats for each token.
    """

    answers: int
    equal_answers: int
    scored: int
    largest_difference: float


def expected(asked: Noted, engine: Engine) -> Expected:
    """The answers of transformers to what was noted."""
    answers = answers_of(asked.prompts, engine)
    written = [
        Continuation(prompt, answer) for (prompt, *_), answer in zip(asked.prompts, answers, strict=True) if answer
    ]
    continuations = [*asked.continuations, *written]
    return Expected(asked.prompts, answers, continuations, _scores(continuations, engine))


def compared(of_transformers: Expected, engine: Engine) -> Agreement:
    """How far an engine agrees with transformers.

    Raises:
        NotFinite: a log-likelihood of one of them is no number.
    """
    answers = answers_of(of_transformers.prompts, engine)
    scores = _scores(of_transformers.continuations, engine)
    differences = [
        abs(one - other) / len(each.answer)
        for one, other, each in zip(scores, of_transformers.log_likelihoods, of_transformers.continuations, strict=True)
    ]
    if not all(map(math.isfinite, differences)):
        raise NotFinite("evaluation: the log-likelihood of an answer is not finite; the model's weights are broken")
    equal = sum(one == other for one, other in zip(answers, of_transformers.answers, strict=True))
    return Agreement(len(answers), equal, len(scores), max(differences, default=0.0))


def check(found: Agreement, dtype: str) -> dict[str, Any]:
    """Say how far an engine agrees with transformers, and return it for the manifest.

    Raises:
        EnginesDisagree: log-likelihoods differ more than rounding explains.
    """
    said = (
        f"vLLM wrote {found.equal_answers} of {found.answers} answers as transformers did, and log-likelihoods of "
        f"{found.scored} answers differ by at most {found.largest_difference:.1g} nats a token"
    )
    if not found.largest_difference <= MOST_DIFFERENCE[dtype]:
        raise EnginesDisagree(
            f"evaluation.engine: {said}, more than the {MOST_DIFFERENCE[dtype]:g} that rounding in {dtype} explains; "
            "write `engine: transformers`, or another `vllm_version`"
        )
    told = logger.info if found.equal_answers == found.answers else logger.warning
    told("%s", said)
    return asdict(found)


def answers_of(prompts: list[Asked], engine: Engine) -> list[list[int]]:
    """The answer's tokens to each prompt."""
    groups: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for place, (_, new_tokens, stops) in enumerate(prompts):
        groups.setdefault((new_tokens, stops), []).append(place)
    answers: list[list[int]] = [[] for _ in prompts]
    for (new_tokens, stops), places in groups.items():
        for index, ids in engine.generate([prompts[place][0] for place in places], new_tokens, stops):
            answers[places[index]] = ids
    return answers


def _scores(continuations: list[Continuation], engine: Engine) -> list[float]:
    found = dict(engine.log_likelihoods(continuations))
    return [found[place][0] for place in range(len(continuations))]
