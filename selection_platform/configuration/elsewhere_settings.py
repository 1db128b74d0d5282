"""The part of a profile that names checkpoints trained elsewhere."""

from pathlib import Path

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from selection_platform.configuration.settings import COMMIT_PATTERN, FOLDER, Settings


class ElsewhereSettings(Settings):
    """A checkpoint that was trained elsewhere on an experiment's selection. Name exactly one of path and hub."""

    path: str | None = Field(
        default=None,
        description="Folder with the weights (safetensors) and configuration, or with a LoRA adapter of the "
        "experiment's base model. A relative path starts from the profile's folder.",
    )
    hub: str | None = Field(default=None, description="Hugging Face id of the checkpoint.")
    revision: str | None = Field(
        default=None, description="Commit of the hub repository, 7 to 40 hex digits. A hub checkpoint needs it."
    )
    selection: str | None = Field(
        default=None,
        description="Hash of the selection that it was trained on, as shown in the card of the export. The checkpoint "
        "is refused if the experiment now selects other samples. Not checked if left out.",
    )

    # Kept beside `path`, which stays as written, as with base models.
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> "ElsewhereSettings":
        if (self.path is None) == (self.hub is None):
            raise ValueError("name exactly one of path and hub")
        self._folder = Path((info.context or {}).get(FOLDER) or "")
        if self.hub is not None and not COMMIT_PATTERN.fullmatch(self.revision or ""):
            raise ValueError(
                "a hub checkpoint needs `revision`: a commit (7 to 40 hex digits), so that it stays the same"
            )
        return self

    @property
    def folder(self) -> Path | None:
        """The folder that `path` names."""
        return None if self.path is None else self._folder / Path(self.path).expanduser()
