"""Answers the requests of an evaluation with vLLM. `vllm_engine` starts it with the Python of vLLM's environment.

It needs vLLM and the standard library alone: that environment does not have this package. Requests come on standard
input and replies go to standard output, each one line of JSON. Standard error has vLLM's own lines. The first reply has
vLLM's version, before anything is loaded. The first request names the model, and its reply the longest sequence. Then:

    {"generate": [ids, ...], "new_tokens": 256, "stops": ["###"], "ends": [2]}  ->  {"index": 0, "ids": [...]}
    {"score": [[ids, [token, ...]], ...]}  ->  {"index": 0, "log_probs": [-0.1, ...], "likeliest": token}

with one reply for each row, as it is finished. It ends when standard input does, so that none outlives its evaluation.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

_CPU_CACHE_BYTES = 2 << 30
"""Memory for keys and values on a CPU: by default vLLM takes nearly all of the machine's."""
_LONG_CONTEXT = 8192
"""Models that take more get as much as the memory has room for."""


def main() -> None:
    """Serve requests until standard input ends."""
    # Before all else: libraries print to standard output.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    try:
        import vllm  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        # Or something is missing that vLLM imports.
        if error.name != "vllm":
            raise
        _reply(replies, {"version": None})
        return
    _reply(replies, {"version": vllm.__version__})
    llm = _load(vllm, requests.get())
    _reply(replies, {"longest": llm.llm_engine.model_config.max_model_len})
    while True:
        request = requests.get()
        rows, finished = _generation(vllm, request) if "generate" in request else _scoring(vllm, request)
        for index, output in _outputs(llm, rows):
            _reply(replies, finished(index, output))


def _read(requests: "queue.Queue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    # The main thread may still compute a batch whose answers are no longer needed.
    os._exit(0)


def _reply(replies: TextIO, content: dict[str, Any]) -> None:
    replies.write(json.dumps(content) + "\n")
    replies.flush()


def _load(vllm: Any, request: dict[str, Any]) -> Any:
    """The engine with a model."""
    import torch
    from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

    positions, on_cpu = request["positions"], {}
    if current_platform.is_cpu():
        on_cpu = {"kv_cache_memory_bytes": _CPU_CACHE_BYTES, "enforce_eager": True}
        # Compiling, also of vLLM's sampler, takes longer than it saves on a CPU.
        torch._dynamo.config.disable = True
    return vllm.LLM(
        request["model"],
        dtype=request["dtype"],
        # One more than the model takes: a token that is only compared with is never read.
        max_model_len=positions + 1 if positions and positions <= _LONG_CONTEXT else -1,
        gpu_memory_utilization=request["memory"],
        # Not the settings that a model publishes.
        generation_config="vllm",
        seed=0,
        disable_log_stats=True,
        **on_cpu,
    )


Row = tuple[list[int], Any]
"""Token ids of a prompt, and vLLM's settings for it."""
Finished = Callable[[int, Any], dict[str, Any]]
"""The reply to a row, from its place and vLLM's output."""


def _generation(vllm: Any, request: dict[str, Any]) -> tuple[list[Row], Finished]:
    """Greedy answers, which end at the tokens and the strings that the request names, and nowhere else."""
    settings = vllm.SamplingParams(
        temperature=0.0,
        max_tokens=request["new_tokens"],
        stop=request["stops"],
        stop_token_ids=request["ends"],
        ignore_eos=True,
        skip_special_tokens=False,
        spaces_between_special_tokens=False,
        detokenize=bool(request["stops"]),
    )
    rows = [(ids, settings) for ids in request["generate"]]
    return rows, lambda index, output: {"index": index, "ids": list(output.token_ids)}


def _scoring(vllm: Any, request: dict[str, Any]) -> tuple[list[Row], Finished]:
    """Log-probabilities of some tokens after each row, and the likeliest of all tokens."""
    rows = [
        (ids, vllm.SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=tokens, ignore_eos=True,
                                  detokenize=False))
        for ids, tokens in request["score"]
    ]  # fmt: skip

    def finished(index: int, output: Any) -> dict[str, Any]:
        found = output.logprobs[0]
        log_probs = [found[token].logprob for token in request["score"][index][1]]
        return {"index": index, "log_probs": log_probs, "likeliest": output.token_ids[0]}

    return rows, finished


def _outputs(llm: Any, rows: Sequence[Row]) -> Iterator[tuple[int, Any]]:
    """The output of each row with the row's place, as they are finished, in the batches that the engine chooses."""
    prompts = [{"prompt_token_ids": ids} for ids, _ in rows]
    names = llm.enqueue(prompts, [settings for _, settings in rows], use_tqdm=False)
    # vLLM adds something to the names behind a dash, and leaves it out again of the outputs.
    places = {name.partition("-")[0]: place for place, name in enumerate(names)}
    while llm.llm_engine.has_unfinished_requests():
        for output in llm.llm_engine.step():
            if output.finished:
                yield places[output.request_id.partition("-")[0]], output.outputs[0]


if __name__ == "__main__":
    main()
