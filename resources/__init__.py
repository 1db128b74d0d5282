"""The outside world of the asset graph: the warehouse and the files beside it."""

from pathlib import Path

from resources.artifact_store import ArtifactStore
from resources.warehouse import Warehouse


def build_resources(home: Path) -> dict[str, ArtifactStore | Warehouse]:
    """Every resource of the graph, by the name that assets ask for.

    Args:
        home: the profile's folder.
    """
    return {
        "warehouse": Warehouse(folder=str(home / "warehouse")),
        "artifacts": ArtifactStore(folder=str(home / "artifacts")),
    }
