"""What is said beside every result of a profile."""

from resources.artifact_store import ArtifactStore
from selection_platform.configuration.profile import Profile
from selection_platform.evaluation.engine_names import mixed


def caveat(profile: Profile, artifacts: ArtifactStore) -> str | None:
    """The profile's disclaimer, and a warning where different engines answered; None if there is nothing to say."""
    return " ".join(filter(None, (profile.disclaimer, mixed_engines(profile, artifacts)))) or None


def mixed_engines(profile: Profile, artifacts: ArtifactStore) -> str | None:
    """A warning where different engines answered for the profile's experiments; None if one did."""
    return mixed(artifacts.benchmark_result(key) for key in profile.trained_experiments)
