"""Where the model of an experiment lies."""

from pathlib import Path

from resources.artifact_store import ArtifactStore
from selection_platform.experiments.keys import Experiment


def model_folder(experiment: Experiment, artifacts: ArtifactStore) -> Path:
    """Where the experiment's model lies: the base arm has no checkpoint of its own."""
    if experiment.pool is None:
        return artifacts.base_model(experiment.base_model)
    return artifacts.checkpoint(experiment.key)
