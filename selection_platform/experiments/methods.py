"""The arms of the experiment: the selection methods, their variants, and the two arms that select nothing."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

_PLAIN = re.compile("[a-z_][a-z0-9_]*")
DEFAULT_TARGETS = "default"
"""Name of the target set that methods are not named after."""
BEST_OF_CLUSTERS, COVERAGE = "km_", "coverage_"
"""Beginnings of the names of wrappers, which pick by the scores of another method."""


@dataclass(frozen=True)
class Method:
    """One arm.

    Attributes:
        name: used in keys, tables (`scores.<name>`) and assets. A variant of a method is `<method>.<variant>`:
            `published` is what the published code does where it departs from the method.
        summary: what it picks, in one line.
        scored_per: "pool" where the scores depend on the pool alone, "scoring" where also on the base model,
            None where the arm needs no scores.
        seeded_scores: whether each seed draws its own scores. Every other method has one selection, and its seeds
            vary the training alone.
        budgeted_scores: whether each budget has its own scores: what is picked first depends on how much is picked.
        set_dependent: whether a sample's score depends on the other samples of the pool.
        picks_alone: whether only picked samples have a score, as when a method picks one by one.
        variant_of: the method that this is a variant of: the same code with another setting.
        best_of_clusters: the method whose best samples of each cluster are picked (the paper's k-means wrapper).
        covers_by: the method by whose scores samples are weighed where picks are to cover all clusters.
        targeted: whether it selects for targets, and so has scores for each target set.
        targets: the target set that it selects for, if it is targeted.
    """

    name: str
    summary: str
    scored_per: Literal["pool", "scoring"] | None
    seeded_scores: bool = False
    budgeted_scores: bool = False
    set_dependent: bool = False
    picks_alone: bool = False
    variant_of: str | None = None
    best_of_clusters: str | None = None
    covers_by: str | None = None
    targeted: bool = False
    targets: str = DEFAULT_TARGETS

    @property
    def wraps(self) -> str | None:
        """The method by whose scores it picks, if it is a wrapper. A wrapper reads the k-means clusters too."""
        return self.best_of_clusters or self.covers_by

    @property
    def without_targets(self) -> str:
        """Its name without the target set."""
        return self.name if self.targets == DEFAULT_TARGETS else self.name.removesuffix(f".{self.targets}")

    @property
    def table(self) -> str:
        """The table of its scores, quoted where SQL needs it."""
        return f"scores.{self.name}" if _PLAIN.fullmatch(self.name) else f'scores."{self.name}"'


def name_for_targets(method: str, targets: str) -> str:
    """The name of a targeted method when it selects for a target set."""
    return method if targets == DEFAULT_TARGETS else f"{method}.{targets}"


def _for_targets(method: Method, targets: str) -> Method:
    """A targeted method that selects for a named target set."""

    def of_targets(wrapped: str | None) -> str | None:
        return None if wrapped is None else name_for_targets(wrapped, targets)

    return replace(
        method,
        name=name_for_targets(method.name, targets),
        summary=f"{method.summary}, for the targets `{targets}`",
        variant_of=method.variant_of,
        best_of_clusters=of_targets(method.best_of_clusters),
        covers_by=of_targets(method.covers_by),
        targets=targets,
    )


def _with_variants(method: Method, **summaries: str) -> list[Method]:
    """A method, and its variants by name: how each differs."""
    variants = [
        replace(method, name=f"{method.name}.{variant}", summary=summary, variant_of=method.name)
        for variant, summary in summaries.items()
    ]
    return [method, *variants]


def _by_nearest_target(method: Method, summary: str) -> Method:
    """The variant of a method in which targets do not take turns: samples are ranked by the nearest one."""
    name = f"{method.name}.max"
    return replace(method, name=name, summary=summary, set_dependent=False, picks_alone=False, variant_of=method.name)


def _best_of_clusters(method: Method) -> Method:
    """The k-means wrapper of a method.

    Raises:
        ValueError: the method has no scores, or several for one sample.
    """
    summary = f"the best by `{method.name}` in each k-means cluster, as many as its share of the samples with a score"
    return replace(_wrapper(BEST_OF_CLUSTERS, method, summary), budgeted_scores=True, best_of_clusters=method.name)


def _coverage(method: Method) -> Method:
    """The wrapper of a method that lets picks cover all clusters. Errors are those of `_best_of_clusters`."""
    summary = f"greedily, what is high by `{method.name}` and adds most to what was picked of all k-means clusters"
    return replace(_wrapper(COVERAGE, method, summary), covers_by=method.name)


def _wrapper(prefix: str, method: Method, summary: str) -> Method:
    name = method.name
    if method.scored_per is None or method.seeded_scores or method.budgeted_scores:
        raise ValueError(
            f"{prefix}{name}: {name!r} does not give each sample one score, whatever the seed and budget, as a wrapper "
            "needs; wrap another method"
        )
    return Method(f"{prefix}{name}", summary, "scoring", set_dependent=True, picks_alone=True, targeted=method.targeted)


BASE = Method("base", "the base model, not fine-tuned", None)
ALL_DATA = Method("all_data", "the whole pool", None)
RDS_PLUS = Method(
    "rds_plus",
    "the samples most similar to the targets, which take turns, each its best that is left",
    "scoring",
    set_dependent=True,
    picks_alone=True,
    targeted=True,
)
EMBEDDING = Method(
    "embedding",
    "as `rds_plus`, by the vectors of a sentence encoder",
    "pool",
    set_dependent=True,
    picks_alone=True,
    targeted=True,
)
LESS = Method("less", "the samples whose gradients point where those of the targets do", "scoring", targeted=True)

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        BASE,
        ALL_DATA,
        Method("random", "a uniform draw, one for each seed", "pool", seeded_scores=True),
        *_with_variants(
            Method("token_length", "the longest answers, in tokens of the base model", "scoring"),
            published="the same, but tokens of id 0 are not counted",
        ),
        *_with_variants(
            Method("entropy", "the answers that the base model finds least likely, per token", "scoring"),
            published="the answers whose tokens are least likely to come twice in a row",
        ),
        *_with_variants(
            Method("ifd", "the answers that the prompt helps least to predict, of those it helps", "scoring"),
            pre_experience="the same, by a model trained for an epoch on middling prompts of every kind",
            published="the same by that model, with the published script's guess where answers begin",
        ),
        Method(
            "s_ifd",
            "as `ifd`, from the answer tokens alone whose likelihood the prompt changes most",
            "scoring",
            set_dependent=True,
        ),
        Method(
            "grape",
            "a uniform draw of prompts, one for each seed, and of each prompt the answer that the base model finds "
            "likeliest",
            "scoring",
            seeded_scores=True,
            set_dependent=True,
        ),
        *_with_variants(
            LESS,
            published="the same, with the published code's warm-up, Adam step and checkpoint weights",
        ),
        replace(
            LESS,
            name="less.round_robin",
            summary="the same, but the groups of targets take turns, each its best sample that is left",
            set_dependent=True,
            picks_alone=True,
            variant_of=LESS.name,
        ),
        RDS_PLUS,
        _by_nearest_target(RDS_PLUS, "the samples most similar to any of the targets"),
        replace(
            RDS_PLUS,
            name="rds_plus.whitened",
            summary="the same, after a whitening that lets every direction of the hidden states weigh as much",
            variant_of=RDS_PLUS.name,
        ),
        EMBEDDING,
        _by_nearest_target(EMBEDDING, "as `rds_plus.max`, by the vectors of a sentence encoder"),
        Method(
            "k_center",
            "greedily, what lies farthest from all that was picked, by the vectors of a sentence encoder",
            "pool",
            set_dependent=True,
            picks_alone=True,
        ),
        *_with_variants(
            Method("selectit", "the answers that models rate highly and surely, whatever the wording", "scoring"),
            published="the same, but the ratings' probabilities go through a second softmax",
        ),
        *_with_variants(
            Method(
                "diverse_evol",
                "greedily, what lies farthest from what was picked, to a model trained on that",
                "scoring",
                budgeted_scores=True,
                set_dependent=True,
                picks_alone=True,
            ),
            published="the farthest all at once, to a model that is never reset",
        ),
        *_with_variants(
            Method(
                "zip",
                "greedily, what compresses worst together with what was picked before",
                "pool",
                set_dependent=True,
                picks_alone=True,
            ),
            published="the same of the authors' records; a row can be picked twice, and small pools scale nothing",
        ),
        Method(
            "facility_location",
            "greedily, what brings the samples of the pool, or a part of them, nearest to something picked",
            "scoring",
            set_dependent=True,
            picks_alone=True,
        ),
    )
}
PRE_EXPERIENCE = ("ifd.pre_experience", "ifd.published")
"""The methods that score with IFD's pre-experience model."""

for _wrap in (_best_of_clusters, _coverage):
    for _wrapped in ("less", "ifd", "selectit", "entropy", "token_length", "s_ifd"):
        _wrapper_of = _wrap(METHODS[_wrapped])
        METHODS[_wrapper_of.name] = _wrapper_of


def methods_with(own: Mapping[str, str], targets: Iterable[str]) -> dict[str, Method]:
    """The methods of the platform, and those that a profile adds: for its target sets, and of its own scores.

    Args:
        own: what the arms pick whose scores the user gives, in one line, by name. Each has wrappers.
        targets: names of the target sets.
    """
    given = [Method(name, summary, "pool") for name, summary in own.items()]
    wrappers = [wrap(method) for wrap in (_best_of_clusters, _coverage) for method in given]
    targeted = [_for_targets(method, name) for method in METHODS.values() if method.targeted for name in targets]
    return METHODS | {method.name: method for method in (*targeted, *given, *wrappers)}
