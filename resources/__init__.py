"""The outside world of the asset graph: the warehouse and the files beside it."""

import os
from pathlib import Path

from resources.artifact_store import ArtifactStore
from resources.catalog import CATALOG_VARIABLE, SQLITE
from resources.warehouse import Warehouse


def build_resources(home: Path) -> dict[str, ArtifactStore | Warehouse]:
    """Every resource of the graph, by the name that assets ask for.

    SELECTION_PLATFORM_CATALOG says where the warehouse's catalog is; without it, in SQLite beside the tables.

    Args:
        home: the profile's folder; its name is that of the catalog's schema in PostgreSQL.
    """
    return {
        "warehouse": Warehouse(
            folder=str(home / "warehouse"),
            catalog=os.environ.get(CATALOG_VARIABLE) or SQLITE,
            catalog_schema=home.name,
        ),
        "artifacts": ArtifactStore(folder=str(home / "artifacts")),
    }
