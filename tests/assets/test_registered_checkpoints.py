"""Where a registered checkpoint comes from."""

from pathlib import Path
from typing import Any, cast

import huggingface_hub
import pytest

from assets.checkpoints import _registered
from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse
from selection_platform.configuration.elsewhere_settings import ElsewhereSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment
from selection_platform.job.folder import read_manifest
from tests.tiny import CONFIGS, save_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EXPERIMENT = Experiment("random", "letters", "tiny", 6, 0)


class Selected:
    """A warehouse in which the experiment selected something."""

    def content_hash(self, table: str, partition: dict[str, str], columns: str) -> str:
        assert (table, partition) == ("selections.samples", {"experiment": EXPERIMENT.key})
        return "6-abc"


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactStore:
    """With the base model, and beside it the hub's cache with a checkpoint of it."""
    artifacts = ArtifactStore(folder=str(tmp_path / "artifacts"))
    save_model(artifacts.base_model("tiny"), CONFIGS["llama"])
    save_model(tmp_path / "snapshots" / COMMIT, CONFIGS["llama"], seed=1)

    def snapshot_download(model_id: str, *, revision: str, **_: object) -> str:
        assert (model_id, revision) == ("me/tuned", COMMIT[:7])
        return str(tmp_path / "snapshots" / COMMIT)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return artifacts


def registered(artifacts: ArtifactStore, **settings: Any) -> dict[str, Any]:
    elsewhere = ElsewhereSettings(hub="me/tuned", revision=COMMIT[:7], **settings)
    return _registered(elsewhere, EXPERIMENT, PAPER, artifacts, cast(Warehouse, Selected()))


@pytest.mark.parametrize("selection", [None, "6-abc"])
def test_a_hub_checkpoint_is_known_by_its_commit(artifacts: ArtifactStore, selection: str | None):
    manifest = registered(artifacts, selection=selection)
    assert (manifest["model_id"], manifest["commit"]) == ("me/tuned", COMMIT)
    assert manifest["trained_elsewhere"] == f"me/tuned at {COMMIT}"
    assert read_manifest(artifacts.checkpoint(EXPERIMENT.key)) == manifest


def test_one_of_another_selection_is_refused(artifacts: ArtifactStore):
    with pytest.raises(
        PlatformError, match="it was trained on the selection 6-old, but the experiment now selects 6-abc"
    ):
        registered(artifacts, selection="6-old")
    assert not artifacts.checkpoint(EXPERIMENT.key).exists()
