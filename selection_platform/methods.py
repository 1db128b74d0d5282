"""The arms of the experiment: the selection methods, and the two that select nothing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Method:
    """One arm.

    Attributes:
        name: used in keys, tables (`scores.<name>`), SQL files and assets.
        summary: what it picks, in one line.
        scored_per: "pool" where the scores depend on the pool alone, "scoring" where also on the base model,
            None where the arm needs no scores.
        seeded_scores: whether each seed draws its own scores. Every other method has one selection, and its seeds
            vary the training alone.
    """

    name: str
    summary: str
    scored_per: Literal["pool", "scoring"] | None
    seeded_scores: bool = False


BASE = Method("base", "the base model, not fine-tuned", None)
ALL_DATA = Method("all_data", "the whole pool", None)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        BASE,
        ALL_DATA,
        Method("random", "a uniform draw, one for each seed", "pool", seeded_scores=True),
        Method("token_length", "the longest answers, in tokens of the base model", "scoring"),
        Method("entropy", "the answers that the base model finds least likely, per token", "scoring"),
        Method("ifd", "the answers that the prompt helps least to predict, of those it helps", "scoring"),
        Method("zip", "greedily, what compresses worst together with what was picked before", "pool"),
    )
}
