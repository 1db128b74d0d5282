"""Names of engines, and which of them answered. This module can be imported without torch."""

from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from selection_platform.configuration.evaluation_settings import EvaluationSettings
from selection_platform.evaluation.spec import answers_with_vllm
from selection_platform.job.folder import previous_folder, read_manifest

TRANSFORMERS = "transformers"


def engine_name(settings: EvaluationSettings) -> str:
    """The engine that answers under a profile's settings, with its version."""
    if answers_with_vllm(settings):
        return f"vllm {settings.vllm_version}"
    return f"{TRANSFORMERS} {version(TRANSFORMERS)}"


def evaluated_with(folders: Iterable[Path]) -> Counter[str]:
    """How many finished evaluations each engine answered. transformers of any version is one engine."""
    # While an evaluation is made again, and after that has failed, the earlier one is what is shown.
    manifests = (read_manifest(folder) or read_manifest(previous_folder(folder)) for folder in folders)
    # Evaluations of earlier versions name none.
    names = (manifest.get("engine", TRANSFORMERS) for manifest in manifests if manifest is not None)
    return Counter(TRANSFORMERS if name.startswith(TRANSFORMERS) else name for name in names)


def mixed(folders: Iterable[Path]) -> str | None:
    """What to say beside results that different engines answered for; None if one did."""
    found = evaluated_with(folders)
    if len(found) < 2:
        return None
    listed = " and ".join(f"{count} with {name}" for name, count in sorted(found.items()))
    return (
        f"{found.total()} models were evaluated, {listed}, so their results differ also by the engine; "
        "`selection-platform run` evaluates all of them with the engine of the profile."
    )
