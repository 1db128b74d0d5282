"""Recipes of the profile as jobs take them."""

from pathlib import Path
from typing import Any

from resources.artifact_store import ArtifactStore
from selection_platform.configuration.settings import FineTuningSettings
from selection_platform.experiments.keys import Experiment


def model_folder(experiment: Experiment, artifacts: ArtifactStore) -> Path:
    """Where the experiment's model lies: the base arm has no checkpoint of its own."""
    if experiment.pool is None:
        return artifacts.base_model(experiment.base_model)
    return artifacts.checkpoint(experiment.key)


def fine_tuning_recipe(settings: FineTuningSettings) -> dict[str, Any]:
    """The recipe as a FineTuningSpec has it."""
    recipe = settings.model_dump(exclude={"lora"})
    if settings.lora is not None:
        recipe["method"] = "lora"
        recipe |= {f"lora_{name}": value for name, value in settings.lora.model_dump().items()}
    return recipe
