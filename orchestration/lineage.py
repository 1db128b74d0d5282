"""The lineage of an experiment: every partition that it was made from, back to the rows of the source."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.keys import BENCHMARK_RESULT, SELECTION, Node
from assets.record.provenance import Provenance, input_name
from orchestration.staleness import Staleness
from selection_platform.configuration.profile import Profile
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.models.files import TRAINED_ELSEWHERE

ORIGIN = ("source", "model_id", "commit", "revision", "package", "version", "parameters", "weights_hash")
"""Keys of a base model's manifest for the origin of its weights."""


@dataclass(frozen=True)
class Ancestor:
    """One partition that an experiment was made from, the experiment's own result first.

    Attributes:
        name: asset and partition.
        depth: steps from the experiment's result, on the first path to it.
        provenance: record of its newest materialisation.
        remade_since: names of its inputs that were materialised again since, with other content.
    """

    name: str
    depth: int
    provenance: Provenance
    remade_since: tuple[str, ...]


@dataclass(frozen=True)
class Lineage:
    """The ancestors of an experiment, and the facts that they share.

    Attributes:
        experiment: key of the experiment.
        seed: seed of the draw, if the method draws, and of the training.
        packages: package versions of the result.
        base_model: origin of the base model's weights, from its manifest.
        templates: the text templates of the ancestors. There is one, unless something is stale, a rater has its own
            text, or a variant reads the paper's text.
        ancestors: each partition once; the inputs of a partition follow it, one level deeper.
    """

    experiment: str
    seed: int
    packages: dict[str, str]
    base_model: dict[str, Any]
    templates: tuple[str, ...]
    ancestors: tuple[Ancestor, ...]

    def to_json(self) -> dict[str, Any]:
        """The lineage as one JSON document."""
        return {
            "experiment": self.experiment,
            "seed": self.seed,
            "packages": self.packages,
            "base_model": self.base_model,
            "templates": list(self.templates),
            "partitions": [
                {
                    "asset": ancestor.provenance.asset,
                    "partition": ancestor.provenance.partition,
                    "depth": ancestor.depth,
                    "data_version": ancestor.provenance.data_version,
                    "code_version": ancestor.provenance.code_version,
                    "warehouse_snapshot": ancestor.provenance.snapshot,
                    "run_id": ancestor.provenance.run_id,
                    "trained_elsewhere": ancestor.provenance.metadata.get(TRAINED_ELSEWHERE),
                    "settings": ancestor.provenance.settings,
                    "inputs": ancestor.provenance.inputs,
                    "remade_since": list(ancestor.remade_since),
                    "other_packages": other_packages(ancestor.provenance, self.packages),
                }
                for ancestor in self.ancestors
            ],
        }


def lineage_of(profile: Profile, experiment: Experiment, staleness: Staleness) -> Lineage:
    """Follow an experiment back from its benchmark result, or from its selection if the arm only selects.

    Raises:
        PlatformError: the result was never materialised.
    """
    key = BENCHMARK_RESULT if experiment.key in profile.trained_experiments else SELECTION
    ancestors = tuple(_walk(staleness, (key, experiment.key), 0, set()))
    if not ancestors:
        name = input_name(key, experiment.key)
        raise PlatformError(f"{name} was never materialised: run `selection-platform run` first")
    base_model = staleness.provenance(dg.AssetKey("base_model"), experiment.model)
    origin = base_model.metadata if base_model else {}
    all_settings = [ancestor.provenance.settings for ancestor in ancestors]
    return Lineage(
        experiment=experiment.key,
        seed=experiment.seed,
        packages=dict(ancestors[0].provenance.packages),
        base_model={"name": experiment.model, **{name: origin[name] for name in ORIGIN if name in origin}},
        templates=tuple(sorted({settings["template"] for settings in all_settings if "template" in settings})),
        ancestors=ancestors,
    )


def other_packages(made: Provenance, packages: dict[str, str]) -> dict[str, str]:
    """The packages that had another version when a partition was materialised."""
    return {name: version for name, version in made.packages.items() if packages.get(name) != version}


def _walk(staleness: Staleness, node: Node, depth: int, seen: set[Node]) -> Iterator[Ancestor]:
    made = staleness.provenance(*node)
    if made is None or node in seen:
        return
    seen.add(node)
    inputs = {input_name(*upstream): upstream for upstream in staleness.graph.inputs(node)}
    now = {name: staleness.provenance(*upstream) for name, upstream in inputs.items()}
    part = staleness.graph.declared(node[0]).part_of_inputs(node[1])
    remade = tuple(
        name
        for name, provenance in now.items()
        if provenance and name in made.inputs and not provenance.has_version(made.inputs[name], part)
    )
    yield Ancestor(input_name(*node), depth, made, remade)
    for upstream in inputs.values():
        yield from _walk(staleness, upstream, depth + 1, seen)
