"""Downloads a model's files from the Hugging Face hub, through its local cache."""

from collections.abc import Sequence
from pathlib import Path

from selection_platform.errors import PlatformError
from selection_platform.models.files import SECOND_COPIES


def fetch_files(model_id: str, revision: str, patterns: Sequence[str], *, subfolders: bool = False) -> Path:
    """The folder in the local cache with the files of a model that match the patterns.

    Args:
        model_id: such as "Qwen/Qwen2-7B".
        revision: a commit; a branch or tag works too.
        patterns: such as "*.json".
        subfolders: whether to fetch those in subfolders too.

    Raises:
        PlatformError: they cannot be fetched; the message says what to check.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # Subfolders of language models hold the same weights in other formats.
        ignored = [*SECOND_COPIES, *([] if subfolders else ["*/*"])]
        return Path(
            snapshot_download(model_id, revision=revision, allow_patterns=list(patterns), ignore_patterns=ignored)
        )
    except GatedRepoError as error:
        raise PlatformError(
            f"{model_id} is a gated model; accept its terms on https://huggingface.co/{model_id}, and run "
            "`hf auth login` on this machine"
        ) from error
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise PlatformError(
            f"{model_id} at {revision} cannot be fetched ({type(error).__name__}); check the id, the commit and the "
            "network, and for a private model that you ran `hf auth login`"
        ) from error
