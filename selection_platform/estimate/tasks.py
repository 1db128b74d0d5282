"""Every job of a profile, with its arithmetic, memory and disk. What is known of pools and models is handed in."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from selection_platform.configuration.method_settings import WarmUpSettings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import FineTuningSettings, PassSettings, ScoringSettings
from selection_platform.estimate import arithmetic, memory
from selection_platform.estimate.arithmetic import Work
from selection_platform.estimate.benchmark_sizes import size_of
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN, Lengths, likely
from selection_platform.estimate.memory import BYTES, Place
from selection_platform.estimate.shape import Shape
from selection_platform.estimate.target_sizes import given_targets, groups_of
from selection_platform.estimate.task import Known, Task
from selection_platform.evaluation.spec import answers_with_vllm
from selection_platform.experiments.keys import Experiment, Scoring
from selection_platform.experiments.methods import name_for_targets
from selection_platform.features.rescored import is_rescored, rescored_samples
from selection_platform.text.cuts import ScoringCut

LLOYD_ROUNDS = 100
"""Rounds of k-means, with its start: an assumption; scikit-learn stops after 300 at most."""
HOST_RATE = 1e11
"""Operations per second of k-means' two threads: an assumption."""


class Tasks:
    """The tasks of a profile on a kind of machine."""

    def __init__(self, profile: Profile, known: Known, place: Place) -> None:
        self._profile, self._known, self._place = profile, known, place

    def all(self) -> Iterator[Task]:
        """Every task, upstream before downstream."""
        yield from self._base_models()
        yield from self._features()
        yield from self._pre_experience()
        yield from self._less()
        yield from self._picks()
        trained = self._profile.trained_experiments.values()
        elsewhere = self._profile.trained_elsewhere
        yield from (self._checkpoint(each) for each in trained if each.pool and each.key not in elsewhere)
        yield from (self._evaluation(each) for each in trained)

    def _features(self) -> Iterator[Task]:
        profile = self._profile
        if any(profile.methods[name].scored_per == "scoring" for name in profile.arms):
            yield from map(self._forward_pass, profile.scorings)
        for key, each in profile.scorings.items() if is_rescored(profile) else ():
            lengths = self._known.lengths(each.pool, each.model)
            part = lengths.take(np.arange(rescored_samples(len(lengths))))
            yield self._likelihood_again("likelihood, embedding", "rescored_likelihood", key, each.model, part)
        if profile.has_clusters:
            yield from self._sample_clusters()
        if profile.uses("selectit"):
            yield from map(self._rating, profile.ratings)
        yield from self._target_embeddings()
        yield from self._sentences()

    def _picks(self) -> Iterator[Task]:
        for method in ("diverse_evol", "diverse_evol.published"):
            if method in self._profile.arms:
                yield from (self._diverse_evol(method, key) for key in self._profile.scored(method))

    def _base_models(self) -> Iterator[Task]:
        for name in self._profile.used_models:
            settings, shape = self._profile.models[name].pretraining, self._known.shapes[name]
            if settings is not None:
                recipe = FineTuningSettings(
                    batch_per_device=settings.batch, global_batch=settings.batch, max_length=settings.block_length
                )
                yield Task(
                    "pre-training", "base_model", name, name, partial(arithmetic.pretraining, settings, shape),
                    self._place.training, memory.training(shape, recipe, self._place), training=True, shared=False,
                    disk=4 * shape.parameters, working=24 * shape.parameters,
                )  # fmt: skip
            else:
                yield Task("base model", "base_model", name, name, Work, "bfloat16", 0, disk=2 * shape.parameters)

    def _forward_pass(self, key: str) -> Task:
        scoring, profile = self._profile.scorings[key], self._profile
        lengths, shape = self._known.lengths(scoring.pool, scoring.model), self._known.shapes[scoring.model]
        vectors = (1 + profile.uses_pre_experience + profile.uses("rds_plus")) * 4 * shape.hidden
        effects = 4 * int(lengths.answer.sum()) if profile.uses("s_ifd") else 0
        return Task(
            "likelihood, embedding", "answer_likelihood", key, scoring.model,
            partial(self._likelihood, lengths, scoring.model),
            profile.dtype, self._scoring_memory(shape, profile.scoring),
            # The shards, and the embeddings once more in the warehouse.
            disk=len(lengths) * (vectors + 4 * shape.hidden + 200) + effects, working=4 * lengths.tokens,
        )  # fmt: skip

    def _likelihood(self, lengths: Lengths, model: str) -> Work:
        shape, scoring, extra = self._known.shapes[model], self._profile.scoring, self._known.extra(model)
        return arithmetic.of_all(lengths, lambda part: arithmetic.likelihood(shape, part, scoring, extra))

    def _likelihood_again(self, stage: str, asset: str, key: str, model: str, lengths: Lengths) -> Task:
        """The shared pass once more, for its likelihoods alone."""
        shape, profile = self._known.shapes[model], self._profile
        return Task(
            stage, asset, key, model, partial(self._likelihood, lengths, model),
            profile.dtype, self._scoring_memory(shape, profile.scoring), disk=len(lengths) * (4 * shape.hidden + 200),
        )  # fmt: skip

    def _scoring_memory(self, shape: Shape, scoring: PassSettings) -> int:
        rows = scoring.logit_rows if isinstance(scoring, ScoringSettings) else 0
        place = self._shared_place()
        return memory.forward_pass(shape, self._profile.dtype, scoring.tokens_per_batch, rows, place)

    def _shared_place(self) -> Place:
        return replace(self._place, processes=self._profile.jobs.processes)

    def _sample_clusters(self) -> Iterator[Task]:
        settings = self._profile.k_means
        for key, scoring in self._profile.clustered.items():
            shape = self._known.encoder if settings.vectors == "encoder" else self._known.shapes[scoring.model]
            if shape is not None:
                yield self._clusters("sample_cluster", key, scoring, shape, settings.clusters)

    def _clusters(self, asset: str, key: str, scoring: Scoring, shape: Shape, clusters: int) -> Task:
        rows = len(self._part(scoring.pool, scoring.model))
        whole = 2.0 * rows * shape.hidden * clusters * LLOYD_ROUNDS
        return Task(
            "k-means", asset, key, scoring.model, Work, "float32", memory.clusters(rows, shape.hidden),
            on_host=True, shared=False, host_seconds=whole / HOST_RATE, disk=60 * rows, working=4 * rows * shape.hidden,
        )  # fmt: skip

    def _part(self, pool: str, model: str) -> Lengths:
        """The lengths of a pool or of a sub-pool, which has the lowest ids of its pool."""
        profile = self._profile
        lengths = self._known.lengths(profile.whole_pool(pool), model)
        sub_pool = profile.sub_pools.get(pool)
        return lengths if sub_pool is None else lengths.take(np.arange(min(sub_pool.size, len(lengths))))

    def _pre_experience(self) -> Iterator[Task]:
        profile, settings = self._profile, self._profile.pre_experience
        if not profile.uses_pre_experience:
            return
        for key, scoring in profile.scorings.items():
            lengths, shape = self._known.lengths(scoring.pool, scoring.model), self._known.shapes[scoring.model]
            yield self._clusters("prompt_cluster", key, scoring, shape, settings.clusters)
            few = partial(lengths.sample, settings.clusters * settings.samples_per_cluster, settings.seed)
            recipe = profile.fine_tuning.model_copy(update={"epochs": settings.epochs})
            count = min(len(lengths), settings.clusters * settings.samples_per_cluster)
            of = key, scoring.model
            yield self._training("pre-experience", "pre_experience_checkpoint", *of, count, few, recipe)
            for method, suffix in (("ifd.pre_experience", ""), ("ifd.published", ".published")):
                if method in profile.arms:
                    name = f"pre_experience_likelihood{suffix}"
                    yield self._likelihood_again("pre-experience", name, key, scoring.model, lengths)

    def _training(
        self,
        stage: str,
        asset: str,
        key: str,
        model: str,
        count: int,
        lengths: Callable[[], Lengths],
        recipe: FineTuningSettings,
    ) -> Task:
        """A training on `count` conversations, whose lengths are looked up when they are needed."""
        shape, place = self._known.shapes[model], self._shared_place()
        stored = (BYTES[place.training] if recipe.lora is None else 4) * shape.trained(recipe.lora)
        steps = recipe.epochs * math.ceil(count / recipe.global_batch)
        saved = (
            sum(memory.adam_bytes(recipe))
            * shape.trained(recipe.lora)
            * min(2, (steps - 1) // (recipe.save_steps or 1))
        )
        extra = self._known.extra(model)
        return Task(
            stage, asset, key, model,
            lambda: arithmetic.training(shape, lengths(), recipe, extra),
            place.training, memory.training(shape, recipe, place), training=True, disk=stored, working=saved,
            recipe=recipe,
        )  # fmt: skip

    def _less(self) -> Iterator[Task]:
        profile, settings = self._profile, self._profile.less
        for suffix, training, cut, directions, target_sets in self._ways():
            scoring = profile.scoring.model_copy(update={"tokens_per_batch": settings.tokens_per_batch, "cut": cut})
            for key, each in profile.scorings.items():
                lengths, shape = self._known.lengths(each.pool, each.model), self._known.shapes[each.model]
                adapter = shape.adapter(training.lora)
                count = min(settings.warmup_samples, len(lengths))
                few = partial(self._drawn, each.pool, each.model, f"warmup/{settings.seed}", count)
                task = self._training(
                    "LESS: warm-up", f"warmup_checkpoint{suffix}", key, each.model, count, few, training
                )
                # Adapter and moments of each epoch.
                yield replace(task, disk=12.0 * adapter * training.epochs)
                for name in target_sets:
                    groups = groups_of(profile.target_sets[name])
                    targets = partial(self._targets, name, each.pool, each.model)
                    place = self._shared_place()
                    yield Task(
                        "LESS: influence", name_for_targets(f"gradient_influence{suffix}", name), key, each.model,
                        partial(self._influence, each.model, lengths, targets, scoring, training),
                        profile.dtype,
                        memory.influence(shape, profile.dtype, scoring, adapter, groups, directions, place),
                        training=True, disk=len(lengths) * training.epochs * groups * directions * 60,
                    )  # fmt: skip

    def _target_embeddings(self) -> Iterator[Task]:
        profile, scoring = self._profile, self._profile.scoring.part(PassSettings)
        for name in self._target_sets("rds_plus", "rds_plus.max", "rds_plus.whitened"):
            for key, each in profile.scorings.items():
                yield Task(
                    "likelihood, embedding", name_for_targets("target_embedding", name), key, each.model,
                    partial(self._embedding_of_targets, name, each.pool, each.model),
                    profile.dtype, self._scoring_memory(self._known.shapes[each.model], scoring),
                )  # fmt: skip

    def _embedding_of_targets(self, name: str, pool: str, model: str) -> Work:
        scoring, extra = self._profile.scoring.part(PassSettings), self._known.extra(model)
        return arithmetic.embedding(self._known.shapes[model], self._targets(name, pool, model), scoring, extra)

    def _targets(self, name: str, pool: str, model: str | None) -> Lengths:
        """Lengths of a target set's samples beside a pool."""
        settings = self._profile.target_sets[name]
        if settings.pool_samples is None:
            return given_targets(settings)
        return self._drawn(pool, model, f"targets/{settings.seed}", settings.pool_samples)

    def _influence(
        self,
        model: str,
        lengths: Lengths,
        targets: Callable[[], Lengths],
        scoring: ScoringSettings,
        training: WarmUpSettings,
    ) -> Work:
        shape, extra = self._known.shapes[model], self._known.extra(model)
        given = shape, scoring, extra, shape.adapter(training.lora)
        of_pool = arithmetic.of_all(lengths, lambda part: arithmetic.influence(part, *given))
        # Twice: a gradient's norm is known only at the end of a pass.
        of_targets = arithmetic.times(2, arithmetic.influence(targets(), *given, sharded=False))
        return arithmetic.times(training.epochs, arithmetic.plus(of_pool, of_targets))

    def _sentences(self) -> Iterator[Task]:
        """The sentence encoder's passes over each pool, and over each target set beside it."""
        shape, sizes = self._known.encoder, self._profile.encoder.sizes
        if shape is None:
            return
        size = memory.forward_pass(shape, "float32", sizes.tokens_per_batch, 0, self._shared_place())
        make = partial(Task, "sentence encoder", model=None, dtype="float32", memory=size)
        for pool in self._profile.pools:
            lengths = self._known.lengths(pool, None)
            disk = len(lengths) * (4 * shape.hidden + 100)
            work = partial(self._encoded, shape, partial(self._known.lengths, pool, None))
            yield make("sentence_embedding", pool, work=work, disk=disk, working=4 * lengths.tokens)
            for name in self._target_sets("embedding", "embedding.max"):
                work = partial(self._encoded, shape, partial(self._targets, name, pool, None))
                yield make(name_for_targets("target_sentence_embedding", name), pool, work=work)

    def _encoded(self, shape: Shape, lengths: Callable[[], Lengths]) -> Work:
        sizes = self._profile.encoder.sizes
        return arithmetic.of_all(lengths(), lambda part: arithmetic.sentences(shape, part, sizes))

    def _target_sets(self, *methods: str) -> list[str]:
        """The target sets that arms select for by some methods, or by a wrapper of one."""
        known = self._profile.methods
        scored = (known[known[arm].wraps or arm] for arm in self._profile.arms)
        return list(dict.fromkeys(each.targets for each in scored if each.without_targets in methods))

    def _ways(self) -> Iterator[tuple[str, WarmUpSettings, ScoringCut, int, list[str]]]:
        """Suffix of the assets, recipe, cut, directions and target sets of each way that LESS is computed."""
        profile, training = self._profile, self._profile.less.training
        ours, published = self._target_sets("less", "less.round_robin"), self._target_sets("less.published")
        theirs: WarmUpSettings = training.model_copy(update={"answers": "last", "cut": "tail"})
        same = theirs == training and profile.scoring.cut == "answer_end"
        if same:
            ours = list(dict.fromkeys([*ours, *published]))
        if ours:
            yield "", training, profile.scoring.cut, 2 if same and published else 1, ours
        if published and not same:
            yield ".published", theirs, "answer_end", 1, published

    def _drawn(self, pool: str, model: str | None, seed: str, count: int) -> Lengths:
        drawn = self._known.drawn(pool, model, seed, count)
        return self._known.lengths(pool, model).sample(count, 0) if drawn is None else drawn

    def _rating(self, key: str) -> Task:
        rating, scoring = self._profile.ratings[key], self._profile.scoring.part(PassSettings)
        lengths, shape = self._known.lengths(rating.pool, rating.model), self._known.shapes[rating.model]
        return Task(
            "SelectIT: ratings", "rating_probability", key, rating.model,
            partial(
                arithmetic.of_all, lengths,
                lambda part: arithmetic.rating(shape, part, scoring, self._known.extra(rating.model)),
            ),
            self._profile.dtype, self._scoring_memory(shape, scoring), disk=len(lengths) * 5 * 60,
        )  # fmt: skip

    def _diverse_evol(self, method: str, key: str) -> Task:
        """All rounds: a training on what is selected so far, and an embedding of the pool."""
        profile = self._profile
        pool, model = profile.scored(method)[key]
        model = model or ""
        lengths, shape, place = self._part(pool, model), self._known.shapes[model], self._shared_place()
        recipe, scoring = profile.fine_tuning, profile.scoring.part(PassSettings)
        most = max(
            memory.training(shape, recipe, place),
            memory.forward_pass(shape, profile.dtype, scoring.tokens_per_batch, 0, place),
            memory.k_center(len(lengths), shape.hidden, place),
        )
        weights = (BYTES[place.training] if recipe.lora is None else 4) * shape.trained(recipe.lora)
        return Task(
            "DiverseEvol", f"scores/{method}", key, model, partial(self._rounds, method, pool, model), profile.dtype,
            most, working=weights + 8 * len(lengths) * shape.hidden, recipe=recipe,
        )  # fmt: skip

    def _rounds(self, method: str, pool: str, model: str) -> Work:
        profile, settings = self._profile, self._profile.diverse_evol
        lengths, shape, extra = self._part(pool, model), self._known.shapes[model], self._known.extra(model)
        scoring = profile.scoring.part(PassSettings)
        each = arithmetic.of_all(lengths, lambda part: arithmetic.embedding(shape, part, scoring, extra))
        parts: list[Work] = []
        for budget in profile.budgets:
            picked = self._picked(method, pool, model, budget)
            if picked is None:
                picked = lengths.take(np.random.default_rng(settings.seed).permutation(len(lengths)))
            for size in arithmetic.round_trainings(budget, settings.initial_share, settings.rounds, len(lengths)):
                rows = picked.take(np.arange(min(size, len(picked))))
                parts += [each, arithmetic.training(shape, rows, profile.fine_tuning, extra)]
        return arithmetic.plus(*parts)

    def _picked(self, method: str, pool: str, model: str, budget: int) -> Lengths | None:
        """What a method picked in an earlier run, in its order."""
        for experiment in self._profile.experiments.values():
            if (experiment.method, experiment.selects_from, experiment.model, experiment.budget) == (
                method, pool, model, budget,
            ):  # fmt: skip
                return self._known.selected(experiment.key)
        return None

    def _checkpoint(self, experiment: Experiment) -> Task:
        model, pool = experiment.base_model, experiment.pool or ""
        size = min(experiment.pool_size or 2**62, len(self._known.lengths(pool, model)))
        stage = "training on all data" if experiment.budget is None else "training"
        return self._training(
            stage, "checkpoint", experiment.key, model, min(size, experiment.budget or size),
            partial(self._trained_on, experiment), self._profile.fine_tuning,
        )  # fmt: skip

    def _trained_on(self, experiment: Experiment) -> Lengths:
        selected = self._known.selected(experiment.key)
        if selected is not None:
            return selected
        part = self._part(experiment.selects_from or "", experiment.base_model)
        return part if experiment.budget is None else likely(experiment, part)

    def _evaluation(self, experiment: Experiment) -> Task:
        profile, model = self._profile, experiment.base_model
        shape, batch = self._known.shapes[model], profile.evaluation.batch_size
        shared = not answers_with_vllm(profile.evaluation)
        place = self._shared_place() if shared else self._place
        steps, prompt, new = 0, 1, 0
        for benchmark in profile.evaluation.benchmarks.values():
            size = size_of(benchmark)
            steps += math.ceil(size.items / batch) * size.new
            prompt, new = max(prompt, size.question), max(new, size.new)
        most = max(
            memory.evaluation(shape, profile.dtype, batch, prompt, new, place),
            memory.forward_pass(shape, profile.dtype, profile.scoring.tokens_per_batch, 1024, place),
        )
        return Task(
            "evaluation", "benchmark_result", experiment.key, model,
            # What vLLM takes is not known.
            partial(self._asked, model) if shared else Work, profile.dtype, most,
            shared=shared, steps=steps if shared else 0, weights=BYTES[profile.dtype] * shape.parameters, disk=2e7,
        )  # fmt: skip

    def _asked(self, model: str) -> Work:
        """The arithmetic of an evaluation: as counted of the same model before, else by the benchmarks' sizes."""
        profile, shape = self._profile, self._known.shapes[model]
        if model in self._known.evaluated:
            return self._known.evaluated[model]
        parts: list[Work] = []
        for benchmark in profile.evaluation.benchmarks.values():
            size = size_of(benchmark)
            asked = size.items, size.question, size.new
            parts.append(arithmetic.decoding(shape, *asked, profile.evaluation.batch_size))
        for pool in profile.pools:
            tokens = self._known.held_out(pool, model)
            parts.append(arithmetic.held_out(shape, tokens, profile.scoring.tokens_per_batch))
        return arithmetic.plus(*parts)

    def pool_on_disk(self, pool: str) -> float:
        """Bytes of a raw pool and its pool, compressed to about half."""
        model = next(iter(self._profile.used_models), None)
        return 2 * 0.5 * CHARACTERS_PER_TOKEN * self._known.lengths(pool, model).tokens
