"""The folder of an experiment's model."""

from pathlib import Path

from resources.artifact_store import ArtifactStore
from selection_platform.experiments.keys import Experiment


def model_folder(experiment: Experiment, artifacts: ArtifactStore) -> Path:
    """The folder of an experiment's model. The model of the `base` arm is the base model."""
    if experiment.pool is None:
        return artifacts.base_model(experiment.base_model)
    return artifacts.checkpoint(experiment.key)
