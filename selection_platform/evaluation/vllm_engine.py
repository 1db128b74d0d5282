"""The engine that runs vLLM, in a process and an environment of its own: its torch is another than ours.

The process runs `vllm_process` and ends with the evaluation, however that ends: its standard input is then closed.
"""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from selection_platform.configuration.evaluation_settings import EvaluationSettings
from selection_platform.errors import NotFinite, PlatformError
from selection_platform.evaluation.engine import Continuation, Likelihood
from selection_platform.evaluation.spec import NO_LONGROPE
from selection_platform.models.loading import read_config
from selection_platform.models.supported import longrope, positions
from selection_platform.text.renderer import Renderer

_SCRIPT = Path(__file__).with_name("vllm_process.py")
_ENVIRONMENT = {
    # One process, which is killed as one, and whose batches do not depend on timing.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # A row may be as long as the model takes, and vLLM wants room for the token after it, which is never read.
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
    # Engines side by side would be bound to the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
_LAST_LINES = 5
_CONTINUATIONS_AT_ONCE = 512
"""A continuation is as many rows as it has tokens."""
_TOKENS_OF_A_ROW = 128
"""Most tokens after one row that vLLM gives the log-probabilities of."""


class VllmFailed(PlatformError):
    """vLLM is missing, is of another version, or ended."""


@contextmanager
def vllm_engine(settings: EvaluationSettings, model: Path, dtype: str, renderer: Renderer) -> "Iterator[VllmEngine]":
    """An engine that runs as long as the block.

    Args:
        settings: with the Python of vLLM's environment, and vLLM's version.
        model: a folder with the weights and the tokenizer.
        dtype: number type of the weights.
        renderer: of the model.

    Raises:
        VllmFailed: vLLM is missing, is of another version, or ended, or it computes such models otherwise.
    """
    if longrope(read_config(model)):
        raise VllmFailed(NO_LONGROPE)
    with TemporaryFile() as said:
        process = _start(settings, said)
        try:
            yield VllmEngine(process, said, settings, model, dtype, renderer)
        finally:
            process.kill()
            # Closes its pipes too.
            process.communicate()


def _start(settings: EvaluationSettings, said: IO[bytes]) -> "subprocess.Popen[str]":
    python = Path(settings.vllm_python or "").expanduser()
    try:
        return subprocess.Popen(
            # Isolated: modules beside the script have names of the standard library's and of other packages.
            [str(python), "-I", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
            env={**os.environ, **_ENVIRONMENT},
            # Ctrl-C is for this process.
            start_new_session=True,
        )
    except OSError as error:
        raise VllmFailed(
            f"evaluation.vllm_python: {python} cannot be run ({error.strerror}); {_how_to_install(settings)}"
        ) from error


def _how_to_install(settings: EvaluationSettings) -> str:
    return (
        f"name the Python of an environment with vLLM {settings.vllm_version}: python -m venv DIR && DIR/bin/pip "
        f"install vllm=={settings.vllm_version} (docs/benchmarks.md)"
    )


class VllmEngine:
    """A model that vLLM has loaded; see `engine.Engine`."""

    def __init__(
        self, process: "subprocess.Popen[str]", said: IO[bytes], settings: EvaluationSettings, model: Path, dtype: str,
        renderer: Renderer,
    ) -> None:  # fmt: skip
        self._process, self._said = process, said
        self._ends = list(renderer.ends)
        limit = positions(read_config(model))
        self.max_length = limit or sys.maxsize
        self._check_version(settings, self._reply()["version"])
        self._ask({"model": str(model), "dtype": dtype, "positions": limit, "memory": settings.vllm_memory})
        self._longest: int = self._reply()["longest"]

    def generate(
        self, prompts: Sequence[list[int]], new_tokens: int, stops: tuple[str, ...]
    ) -> Iterator[tuple[int, list[int]]]:
        """See `engine.Engine`."""
        self._check_room(max(map(len, prompts), default=0) + new_tokens)
        self._ask({"generate": prompts, "new_tokens": new_tokens, "stops": stops, "ends": self._ends})
        for _ in prompts:
            reply = self._reply()
            yield reply["index"], reply["ids"]

    def log_likelihoods(self, continuations: Sequence[Continuation]) -> Iterator[tuple[int, Likelihood]]:
        """See `engine.Engine`."""
        for start in range(0, len(continuations), _CONTINUATIONS_AT_ONCE):
            yield from enumerate(self._likelihoods(continuations[start : start + _CONTINUATIONS_AT_ONCE]), start)

    def _likelihoods(self, continuations: Sequence[Continuation]) -> list[Likelihood]:
        """Each token of an answer is scored after a row of its own. vLLM computes what rows share once."""
        targets: dict[tuple[int, ...], dict[int, None]] = {}
        for each in continuations:
            for place, token in enumerate(each.answer):
                targets.setdefault((*each.context, *each.answer[:place]), {})[token] = None
        asked = [
            (row, list(tokens)[start : start + _TOKENS_OF_A_ROW])
            for row, tokens in targets.items()
            for start in range(0, len(tokens), _TOKENS_OF_A_ROW)
        ]
        self._check_room(max(len(row) for row in targets) + 1)
        self._ask({"score": asked})
        log_probs: dict[tuple[int, ...], dict[int, float]] = {row: {} for row in targets}
        likeliest: dict[tuple[int, ...], int] = {}
        for _ in asked:
            reply = self._reply()
            row, tokens = asked[reply["index"]]
            log_probs[row].update(zip(tokens, reply["log_probs"], strict=True))
            likeliest[row] = reply["likeliest"]
        return [_of_answer(each, log_probs, likeliest) for each in continuations]

    def _check_version(self, settings: EvaluationSettings, found: str | None) -> None:
        """Raise VllmFailed unless the environment has the version that the profile names."""
        if found is None:
            raise VllmFailed(f"evaluation.vllm_python: {settings.vllm_python} has no vLLM; {_how_to_install(settings)}")
        # A build for a device has the version of its source before the plus sign.
        if found.partition("+")[0] != settings.vllm_version:
            raise VllmFailed(
                f"evaluation.vllm_version is {settings.vllm_version}, and {settings.vllm_python} has vLLM {found}; "
                f"install that version, or write `vllm_version: {found.partition('+')[0]}`, which makes results due"
            )

    def _check_room(self, tokens: int) -> None:
        if tokens > self._longest:
            if tokens - 1 == self._longest == self.max_length:
                raise VllmFailed(
                    f"evaluation.engine: a prompt and its answer take {tokens - 1:,} tokens, all that the model takes, "
                    "and vLLM wants room for one more; ask for fewer `shots`, or write `engine: transformers`"
                )
            raise VllmFailed(
                f"evaluation.vllm_memory: a prompt and its answer take {tokens:,} tokens, and vLLM has memory for "
                f"{self._longest:,}; raise it, use a GPU with more memory, or write `engine: transformers`"
            )

    def _ask(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._ended() from None
        return json.loads(line)

    def _ended(self) -> VllmFailed:
        """What to say of a process that ended by itself: how, and the last lines that it wrote."""
        status = self._process.wait()
        how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"
        self._said.seek(0)
        lines = [line for line in self._said.read().decode(errors="replace").splitlines() if line.strip()]
        last = " | ".join(lines[-_LAST_LINES:]) or "nothing"
        return VllmFailed(
            f"vLLM {how}; run again to go on, with a lower evaluation.vllm_memory if memory ran out. It said last: "
            f"{last}"
        )


def _of_answer(
    continuation: Continuation,
    log_probs: dict[tuple[int, ...], dict[int, float]],
    likeliest: dict[tuple[int, ...], int],
) -> Likelihood:
    rows = [(*continuation.context, *continuation.answer[:place]) for place in range(len(continuation.answer))]
    found = sum(log_probs[row][token] for row, token in zip(rows, continuation.answer, strict=True))
    if not math.isfinite(found):
        raise NotFinite("vLLM: the log-likelihood of an answer is not finite; the model's weights are broken")
    return found, all(likeliest[row] == token for row, token in zip(rows, continuation.answer, strict=True))
