"""What is known of pools and models before a run: counted where they were made, else assumed, and said so."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assets.keys import BENCHMARK_RESULT
from assets.record.cost_ledger import Entry
from orchestration.workspace import Workspace
from resources.warehouse import Warehouse
from selection_platform.errors import PlatformError
from selection_platform.estimate.arithmetic import Work
from selection_platform.estimate.known_sizes import find_encoder_shape, find_shape, guessed_lengths
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN, Counts, Extra, Lengths, in_tokens
from selection_platform.estimate.shape import Shape
from selection_platform.estimate.task import Known
from selection_platform.evaluation.spec import answers_with_vllm
from selection_platform.methods.selectit.rating_lines import RATING_CUE, RATING_PROMPTS
from selection_platform.text.rendering import ANSWER_CUE
from sql.queries import load_sql


class KnownSizes:
    """Looks sizes up in a workspace, each once.

    Args:
        workspace: of the profile.
        ledger: costs so far; an evaluation that was counted tells of the others of its model.
        quick: whether to leave out models whose sizes only the hub or transformers can tell, and to count no tokens:
            enough for memory.
    """

    def __init__(self, workspace: Workspace, ledger: Iterable[Entry] = (), *, quick: bool = False) -> None:
        self._quick, self._staleness = quick, workspace.staleness
        self._profile, self._artifacts = workspace.profile, workspace.resources.artifacts
        warehouse = workspace.resources.warehouse
        self._warehouse: Warehouse | None = warehouse if warehouse.exists() else None
        self._ledger = list(ledger)
        self.lengths = cache(self._lengths)
        self.extra = cache(self._extra)
        self.held_out = cache(self._held_out)

    @property
    def known(self) -> Known:
        """All of it, as tasks take it."""
        return Known(
            self.shapes,
            self.encoder,
            self.lengths,
            self._selected,
            self._drawn,
            self.held_out,
            self.extra,
            self._evaluated(),
        )

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shapes of the models that the profile uses.

        Raises:
            PlatformError: a model's configuration cannot be had.
        """
        shapes: dict[str, Shape] = {}
        for name in self._profile.used_models:
            try:
                shape = find_shape(self._profile.models[name], self._artifacts.base_model(name), quick=self._quick)
                if shape is not None:
                    shapes[name] = shape
            except PlatformError as error:
                raise PlatformError(f"models.{name}: {error}") from error
        return shapes

    @property
    def encoder(self) -> Shape | None:
        """The shape of the sentence encoder; None if no arm uses it, and where it cannot be had: `notes` says so."""
        return self._encoder[0]

    @cached_property
    def _encoder(self) -> tuple[Shape | None, str | None]:
        """The shape of the sentence encoder, and why it cannot be had. It is one stage of many, and no model's."""
        if self._quick or not self._profile.uses_encoder:
            return None, None
        try:
            return find_encoder_shape(self._profile.encoder), None
        except PlatformError as error:
            return None, str(error).removeprefix("encoder: ")

    def notes(self) -> list[str]:
        """How the lengths of each pool are known, and what is not."""
        model, (encoder, missing) = next(iter(self._profile.used_models), None), self._encoder
        notes = [] if missing is None else [f"The sentence encoder is not counted: {missing}."]
        if model is None and encoder is None:
            return notes
        notes += [f"{pool}: {self.lengths(pool, model).known}." for pool in self._profile.pools]
        if answers_with_vllm(self._profile.evaluation):
            notes.append(
                "Evaluations by vLLM: how long they take is known once one was made. With a small model on a CPU they "
                "took about half of what transformers takes; on a GPU they were not timed."
            )
        return notes

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Samples of the pools that are made."""
        return {} if self._warehouse is None else dict(self._warehouse.query(load_sql("10_pools/sizes")).iter_rows())

    def _lengths(self, pool: str, model: str | None) -> Lengths:
        if self._quick and pool in self._rows:
            # Memory depends on how many there are, and not on how long they are.
            none = np.zeros(self._rows[pool], dtype=np.int64)
            return Lengths(none, none, "not counted", measured=False)
        # A model that only rates counts no tokens of its own.
        models = [] if model is None else [model, *self._profile.models]
        of_models = (self._query("token_counts", {"pool": pool, "model": each}) for each in models)
        counted = next((each for each in of_models if len(each)), None)
        if counted is not None:
            return Lengths(counted[:, 0], counted[:, 1], f"{len(counted):,} conversations, tokens counted")
        characters = self._query("characters", {"pool": pool})
        if len(characters):
            whole, answer = (np.maximum(1, column / CHARACTERS_PER_TOKEN).astype(np.int64) for column in characters.T)
            known = f"{len(whole):,} conversations, tokens by their characters / {CHARACTERS_PER_TOKEN}"
            return Lengths(np.maximum(1, whole - answer), answer, known, measured=False)
        return guessed_lengths(self._profile.pools[pool])

    def _selected(self, experiment: str) -> Lengths | None:
        each = self._profile.experiments[experiment]
        values = {"experiment": experiment, "pool": each.pool, "model": each.model}
        return self._counted(self._query("selected", values))

    def _drawn(self, pool: str, model: str | None, seed: str, count: int) -> Lengths | None:
        return self._counted(self._query("drawn", {"pool": pool, "model": model, "seed": seed, "limit": count}))

    def _counted(self, rows: Counts) -> Lengths | None:
        return Lengths(rows[:, 0], rows[:, 1], "counted") if len(rows) else None

    def _held_out(self, pool: str, model: str) -> Counts:
        settings, limit = self._profile.pools[pool], self._profile.evaluation.held_out_limit
        if not settings.held_out:
            return np.zeros(0, dtype=np.int64)
        characters = self._query("held_out", {"pool": pool})[:limit]
        if len(characters):
            tokens = (characters[:, 0] / CHARACTERS_PER_TOKEN).astype(np.int64)
        else:
            lengths = self.lengths(pool, model)
            count = min(round(settings.held_out * len(lengths)), limit or len(lengths))
            tokens = (lengths.prompt + lengths.answer)[:count]
        return np.clip(tokens, 1, self._profile.fine_tuning.max_length)

    def _extra(self, model: str) -> Extra:
        count = None if self._quick else _tokenizer(self._artifacts.base_model(model) / "tokenizer.json")
        cue = in_tokens(RATING_CUE, count)
        ratings = tuple(in_tokens(f"{line}\n\n", count) + cue for line in RATING_PROMPTS)
        return Extra(in_tokens(ANSWER_CUE, count), 1, ratings)

    def _evaluated(self) -> dict[str, Work]:
        """The arithmetic of an evaluation of each model, where one was counted under the settings of now."""
        found: dict[str, Work] = {}
        # The newest first: of an evaluation's earlier materialisations the settings are not looked up.
        newest: set[str] = set()
        for entry in self._ledger:
            experiment = self._profile.experiments.get(entry.partition or "")
            if entry.asset != BENCHMARK_RESULT.to_user_string() or experiment is None or experiment.key in newest:
                continue
            newest.add(experiment.key)
            if entry.cost["tokens"] and not self._changed(experiment.key):
                amounts = (entry.cost[name] for name in ("tokens", "forward_flops", "backward_flops"))
                found.setdefault(experiment.base_model, Work(*amounts))
        return found

    def _changed(self, experiment: str) -> bool:
        """Whether the settings of evaluations have changed since an experiment was evaluated."""
        record = self._staleness.provenance(BENCHMARK_RESULT, experiment)
        now = self._staleness.graph.declared(BENCHMARK_RESULT).content(experiment)

        def of_evaluation(settings: Mapping[str, Any]) -> dict[str, Any]:
            return {path: value for path, value in settings.items() if path.startswith("evaluation.")}

        return record is None or of_evaluation(record.settings) != of_evaluation(now)

    def _query(self, name: str, values: dict[str, object]) -> Counts:
        """The rows of a statement, rows x columns; none without a warehouse."""
        if self._warehouse is None:
            return np.zeros((0, 1), dtype=np.int64)
        return self._warehouse.query(load_sql(f"60_estimate/{name}"), values).to_numpy().astype(np.int64)


def _tokenizer(path: Path) -> Callable[[str], int] | None:
    """Counts tokens by a tokenizer.json; None where there is none."""
    if not path.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
