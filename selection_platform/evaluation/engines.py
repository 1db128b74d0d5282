"""The engine of an evaluation, which answers after its model was seen to give what transformers gives."""

import gc
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine import Engine, TransformersEngine
from selection_platform.evaluation.engine_check import Expected, Noted, check, compared, expected
from selection_platform.evaluation.spec import EvaluationSpec
from selection_platform.evaluation.vllm_engine import vllm_engine
from selection_platform.job.folder import read_object, whole_file
from selection_platform.models.exported import write_weights
from selection_platform.models.forward_pass import check_model
from selection_platform.models.renderers import load_renderer
from selection_platform.text.renderer import Renderer

_MODEL = ".model"
"""Folder of the weights for vLLM. Names with a dot are no content of a job's folder."""
_PARTIAL = f"{_MODEL}.partial"
_AGREEMENT = "engine.json"


class LoadedModel:
    """The model of a spec in this process, and its renderer.

    Args:
        load: reads them.
    """

    def __init__(self, load: Callable[[], tuple[PreTrainedModel, Renderer]]) -> None:
        self._load = load
        self._loaded: tuple[PreTrainedModel, Renderer] | None = None
        self._is_checked = False

    def __call__(self) -> tuple[PreTrainedModel, Renderer]:
        """Both, read at the first call."""
        self._loaded = self._loaded or self._load()
        return self._loaded

    def for_loss(self) -> PreTrainedModel:
        """The model, once `check_model` has let it pass.

        Raises:
            UnsupportedModel: it has not.
        """
        model, _ = self()
        if not self._is_checked:
            check_model(model)
            self._is_checked = True
        return model

    def release(self) -> None:
        """Give the memory back. Nobody else may hold the model."""
        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def agreement(folder: Path) -> Mapping[str, Any]:
    """How far the engine that answered in a job's folder agreed with transformers; empty if it was transformers."""
    file = folder / _AGREEMENT
    return {"agreement": read_object(file)} if file.exists() else {}


@contextmanager
def answering(
    spec: EvaluationSpec, folder: Path, model: LoadedModel, ask_some: Callable[[ChatModel], None]
) -> Iterator[Engine]:
    """What answers the prompts of an evaluation, for the block.

    Args:
        spec: names the engine.
        folder: of the job.
        model: is released before vLLM takes memory.
        ask_some: asks the evaluation's first prompts.

    Raises:
        VllmFailed: vLLM is missing, is of another version, or ended.
        EnginesDisagree: it gives other log-likelihoods than transformers.
    """
    if spec.evaluation.engine == "transformers":
        loaded, renderer = model()
        yield TransformersEngine(loaded, renderer, spec.evaluation.batch_size)
        return
    exported, agrees = folder / _MODEL, folder / _AGREEMENT
    try:
        wanted = None
        # Both are there if this job was killed while vLLM answered.
        if not (exported.exists() and agrees.exists()):
            wanted = _expected(spec, model, ask_some)
            export(*model(), exported)
        model.release()
        renderer = load_renderer(Path(spec.model_folder), spec.text)
        with vllm_engine(spec.evaluation, exported, spec.dtype, renderer) as engine:
            if wanted is not None:
                found = check(compared(wanted, engine), spec.dtype)
                with whole_file(agrees) as temporary:
                    temporary.write_text(json.dumps(found), encoding="utf-8")
            yield engine
    finally:
        remove_exported(folder)


def remove_exported(folder: Path) -> None:
    """Remove vLLM's copy of the weights from a job's folder, whole or not, where there is one."""
    for name in (_MODEL, _PARTIAL):
        shutil.rmtree(folder / name, ignore_errors=True)


def _expected(spec: EvaluationSpec, model: LoadedModel, ask_some: Callable[[ChatModel], None]) -> Expected:
    """What transformers gives for the evaluation's first prompts."""
    loaded, renderer = model()
    engine = TransformersEngine(loaded, renderer, spec.evaluation.batch_size)
    asked = Noted(engine.max_length)
    ask_some(ChatModel(asked, renderer))
    return expected(asked, engine)


def export(model: PreTrainedModel, renderer: Renderer, folder: Path) -> None:
    """Write a model for vLLM: of an adapter, the merged weights, and the tokenizer as it is here."""
    partial = folder.with_name(_PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    write_weights(model, renderer, partial)
    renderer.tokenizer.save_pretrained(partial)
    partial.rename(folder)
