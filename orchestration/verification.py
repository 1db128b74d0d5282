"""Whether a selection follows from the warehouse as it was, and whether it is what was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

from assets.keys import CHECKPOINT, SELECTION
from assets.record.provenance import input_name
from assets.selections import selection_query
from orchestration.staleness import Staleness
from resources.warehouse import Warehouse
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.experiments.methods import Method
from selection_platform.models.files import TRAINED_ELSEWHERE
from sql.queries import load_sql


@dataclass(frozen=True)
class Comparison:
    """Ids beside those that were rebuilt.

    Attributes:
        snapshot: of the warehouse that they were read at.
        count: number of ids.
        missing: rebuilt ids that are not among them.
        added: ids among them that were not rebuilt.
        first_difference: the first place, from 1, where they differ; None where all are the same.
    """

    snapshot: int
    count: int
    missing: int
    added: int
    first_difference: int | None

    @property
    def same(self) -> bool:
        """Whether they are the same ids in the same order."""
        return self.first_difference is None

    def __str__(self) -> str:
        """What differs, in words."""
        if self.same:
            return "the same ids in the same order"
        if not self.missing and not self.added:
            return f"the same ids in another order, from place {self.first_difference:,} on"
        return (
            f"other ids: {self.missing:,} of those rebuilt are missing and {self.added:,} are there instead, "
            f"from place {self.first_difference:,} on"
        )


@dataclass(frozen=True)
class Verification:
    """A selection rebuilt, beside the one that is stored and the one that was trained on.

    Attributes:
        snapshot: of the warehouse that it was rebuilt from: the one that the selection was made from.
        count: number of rebuilt ids.
        new_code: how the selection's code version changed since, where it did: the rebuilding is by today's code.
        selected: the experiment's ids now.
        trained: the ids that the checkpoint was trained on; None where there is no checkpoint.
        trained_on_another: whether the checkpoint was made from a selection that was replaced since.
        trained_elsewhere: that a checkpoint was trained elsewhere, so that its ids are not known, in words.
    """

    snapshot: int
    count: int
    new_code: str | None
    selected: Comparison
    trained: Comparison | None
    trained_on_another: bool
    trained_elsewhere: str | None

    @property
    def same(self) -> bool:
        """Whether all ids are the same, in the same order."""
        return self.selected.same and (self.trained is None or self.trained.same)


def verify_selection(
    experiment: Experiment, method: Method, staleness: Staleness, warehouse: Warehouse
) -> Verification:
    """Select again from the warehouse as it was when the selection was made, and compare.

    Raises:
        PlatformError: the experiment has not selected yet, or the snapshot is gone.
    """
    selection = staleness.provenance(SELECTION, experiment.key)
    if selection is None or selection.snapshot is None:
        raise PlatformError(f"{experiment.key} has not selected yet: run `selection-platform run` first")
    statement, values = selection_query(experiment, method)
    rebuilt = warehouse.query(statement, values, at=selection.snapshot).sort("position")["sample_id"].to_list()
    checkpoint = staleness.provenance(CHECKPOINT, experiment.key)
    trained, trained_on_another = None, False
    elsewhere = checkpoint.metadata.get(TRAINED_ELSEWHERE) if checkpoint else None
    if checkpoint is not None and checkpoint.snapshot is not None and elsewhere is None:
        trained = _compare(rebuilt, experiment, warehouse, checkpoint.snapshot)
        made_from = checkpoint.inputs.get(input_name(SELECTION, experiment.key))
        trained_on_another = made_from != selection.data_version
    code_version = staleness.graph.code_version(SELECTION)
    return Verification(
        snapshot=selection.snapshot,
        count=len(rebuilt),
        new_code=None if selection.code_version == code_version else f"{selection.code_version} -> {code_version}",
        selected=_compare(rebuilt, experiment, warehouse, warehouse.snapshot()),
        trained=trained,
        trained_on_another=trained_on_another,
        trained_elsewhere=None if elsewhere is None else f"not known: it was trained elsewhere ({elsewhere})",
    )


def _compare(rebuilt: Sequence[str], experiment: Experiment, warehouse: Warehouse, snapshot: int) -> Comparison:
    rows = warehouse.query(load_sql("50_selections/ids"), {"experiment": experiment.key}, at=snapshot)
    ids = rows["sample_id"].to_list()
    pairs = zip(rebuilt, ids, strict=False)
    first = next((place for place, (one, other) in enumerate(pairs, start=1) if one != other), None)
    if first is None and len(rebuilt) != len(ids):
        first = min(len(rebuilt), len(ids)) + 1
    missing, added = set(rebuilt) - set(ids), set(ids) - set(rebuilt)
    return Comparison(snapshot, len(ids), len(missing), len(added), first)
