"""How much faster vLLM answers an evaluation's prompts than transformers, and whether it answers the same.

Run by hand, with the Python of an environment that has vLLM:

    python -m benchmarks.evaluation_engine --vllm /opt/vllm/bin/python --version 0.32.0

The prompts are those of the five benchmarks in the model's own chat template, as many items of each (of BBH, of all
subsets together) as `--items` says. Both engines get the same token ids, one after the other. The model is
SmolLM2-135M-Instruct out of its package, or a folder. Seconds are those of all CPU cores, which other work changes less
than the clock's, and beside them the clock's.
"""

import argparse
import os
import platform
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import psutil

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.evaluation.benchmark_data import BENCHMARKS, prepare
from selection_platform.evaluation.benchmark_tasks import load_tasks, quiet_lm_eval
from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine import Engine, TransformersEngine
from selection_platform.evaluation.engine_check import Asked, Noted, answers_of, compared, expected
from selection_platform.evaluation.engines import export
from selection_platform.evaluation.vllm_engine import vllm_engine
from selection_platform.models.base_model import SMOLLM2_135M_INSTRUCT, convert_packaged
from selection_platform.models.loading import load_model
from selection_platform.models.renderers import load_renderer

Times = dict[str, tuple[float, float]]
"""Seconds by what took them: of CPU cores, and by the clock."""


def now() -> tuple[float, float]:
    """CPU seconds of this process and of those that it has started and that still run, and the clock."""
    here = psutil.Process()
    used = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return sum(times.user + times.system for times in used), time.monotonic()


def between(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """The seconds from one `now` to another."""
    return end[0] - start[0], end[1] - start[1]


def note(data: Path, items: int, chat: ChatModel) -> dict[str, int]:
    """Ask for the first items of each benchmark, and count them."""
    counts: dict[str, int] = {}
    for name in BENCHMARKS:
        tasks = load_tasks(name, BenchmarkSettings(task=f"offline_{name}"), data, seed=0)
        each = -(-items // len(tasks))
        for task in list(tasks.values())[:items]:
            cast(Any, task).build_all_requests(
                limit=each, apply_chat_template=True, fewshot_as_multiturn=True, chat_template=chat.apply_chat_template
            )
            getattr(chat, task.instances[0].request_type)(task.instances)
            counts[name] = counts.get(name, 0) + each
    return counts


def answered(engine: Engine, asked: Noted) -> tuple[list[list[int]], Times]:
    """The answers of an engine, and how long it took for them and for the choices."""
    started = now()
    answers = answers_of(asked.prompts, engine)
    written = now()
    for _ in engine.log_likelihoods(asked.continuations):
        pass
    return answers, {"answers": between(started, written), "choices": between(written, now())}


def texts(asked: Iterable[Asked], answers: list[list[int]], chat: ChatModel) -> list[str]:
    """The answers as an evaluation reads them."""
    return [chat._answer(ids, stops)[0] for ids, (_, _, stops) in zip(answers, asked, strict=True)]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", required=True, help="Python of the environment with vLLM")
    parser.add_argument("--version", required=True, help="vLLM's version")
    parser.add_argument("--model", type=Path, help="folder of a model; SmolLM2-135M-Instruct if left out")
    parser.add_argument("--items", type=int, default=24, help="of each benchmark")
    parser.add_argument("--new-tokens", type=int, default=128, help="most tokens of an answer")
    parser.add_argument("--batch-size", type=int, default=8, help="of transformers")
    options = parser.parse_args()
    settings = EvaluationSettings(engine="vllm", vllm_version=options.version, vllm_python=options.vllm)
    with TemporaryDirectory() as scratch:
        folder, exported = options.model or Path(scratch, "model"), Path(scratch, "exported")
        if options.model is None:
            convert_packaged(SMOLLM2_135M_INSTRUCT, folder)
        prepare(Path(scratch, "data"))
        model, _ = load_model(folder, "float32")
        renderer = load_renderer(folder, TextSettings())
        ours = TransformersEngine(model, renderer, options.batch_size)
        asked = Noted(ours.max_length, options.new_tokens)
        chat = ChatModel(asked, renderer)
        with quiet_lm_eval():
            counts = note(Path(scratch, "data"), options.items, chat)
        load = os.getloadavg()[0]
        print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), load {load:.0f}")
        print(f"{counts}: {len(asked.prompts)} answers, {len(asked.continuations)} choices")
        our_answers, times = answered(ours, asked)
        few = Noted(asked.max_length, 0, asked.prompts[:: max(1, len(asked.prompts) // 8)], asked.continuations)
        wanted = expected(few, ours)
        export(model, renderer, exported)
        started = now()
        with vllm_engine(settings, exported, "float32", renderer) as theirs:
            start = between(started, now())
            their_answers, their_times = answered(theirs, asked)
            found = compared(wanted, theirs)
        print("| | transformers, CPU s | vLLM, CPU s | ratio | ratio by the clock |\n|---|--:|--:|--:|--:|")
        for what, (cpu, clock) in times.items():
            their_cpu, their_clock = their_times[what]
            ratios = f"{cpu / their_cpu:.1f} | {clock / their_clock:.1f}"
            print(f"| {what} | {cpu:.1f} | {their_cpu:.1f} | {ratios} |")
        print(f"| start | | {start[0]:.1f} | | |")
        said = [texts(asked.prompts, answers, chat) for answers in (our_answers, their_answers)]
        equal = sum(one == other for one, other in zip(*said, strict=True))
        print(f"{equal} of {len(our_answers)} answers are equal; largest difference of {found.scored} log-likelihoods: "
              f"{found.largest_difference:.1e} nats a token")  # fmt: skip


if __name__ == "__main__":
    main()
