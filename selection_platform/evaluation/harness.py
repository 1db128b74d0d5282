"""The evaluation job: one model on all benchmarks, and on held-out answers.

Processes that share the job compute its answers in pieces (`pieces`), which are kept until the job is done; then the
first one scores them. Each scored benchmark is a separate file in `parts/`. So a killed job continues after its last
piece. The finished folder has `results.parquet` and `items.parquet` (`results.Result`, `results.ItemResult`) and the
manifest.
"""

import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lm_eval.api.task import Task
from transformers import PreTrainedModel

from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.errors import PlatformError
from selection_platform.evaluation.asking import ask_items, ask_some, datasets_of, run_items, tasks_of
from selection_platform.evaluation.benchmark_tasks import quiet_lm_eval, tasks_hash
from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine import Engine
from selection_platform.evaluation.engine_names import engine_name
from selection_platform.evaluation.engines import LoadedModel, agreement, answering, remove_exported
from selection_platform.evaluation.held_out_loss import METRIC, HeldOut, HeldOutLoss
from selection_platform.evaluation.items import item_hash
from selection_platform.evaluation.own_benchmarks import content_of
from selection_platform.evaluation.pieces import (
    Kept,
    Piece,
    Planned,
    Work,
    answer_all,
    pieces_of_rows,
    remove_answers,
)
from selection_platform.evaluation.results import (
    ANSWER_FOUND,
    CARD,
    ENDED,
    ITEM_SCHEMA,
    RESULT_SCHEMA,
    SCORING,
    ItemResult,
    Result,
    as_records,
    metrics_of,
    numbered,
    scoring_of,
    summarise,
)
from selection_platform.evaluation.sandbox import check_sandbox
from selection_platform.evaluation.spec import (
    CODE_TASK,
    OFFLINE_PREFIX,
    EvaluationSpec,
    answers_with_vllm,
    computations,
    left_in,
    logits_read,
)
from selection_platform.evaluation.task_datasets import fetched_content, offline
from selection_platform.evaluation.task_names import UnusableTask
from selection_platform.job.folder import (
    file_hash,
    open_job_folder,
    read_manifest,
    whole_file,
    write_manifest,
)
from selection_platform.job.integrity import check_files
from selection_platform.job.processes import first_process_first, is_first, wait_for_all
from selection_platform.job.progress import progress
from selection_platform.job.registry import Job
from selection_platform.job.versions import VERSIONS
from selection_platform.models.loading import load_model
from selection_platform.models.provenance import model_identity
from selection_platform.models.renderers import load_renderer, text_identity
from selection_platform.models.supported import positions, weights_config
from selection_platform.text.conversation import to_messages
from selection_platform.text.renderer import Renderer
from selection_platform.text.template_choice import make_renderer

Part = dict[str, Any]
"""The outcome of one benchmark as JSON: `results`, `items`, and `facts` for the manifest."""


def evaluate(spec: EvaluationSpec, folder: Path) -> dict[str, Any]:
    """Evaluate a model, unless the folder already has the same evaluation.

    Processes that share the job compute answers together, and the first one scores them.

    Returns:
        The manifest: facts about each benchmark, benchmarks that were left out, versions.

    Raises:
        SandboxUnavailable: generated code cannot be contained on this machine; nothing was evaluated.
        VllmFailed, EnginesDisagree: see `engines.answering`.
        UnusableTask, MissingData, UnreadableModel: a task, data or the model of the spec cannot be used.
    """
    # Before the identity, so that a change between the two is seen.
    contents = _contents(spec)
    with first_process_first():
        complete = open_job_folder(folder, _identity(spec))
    if complete:
        return _result(folder)
    benchmarks = left_in(spec.evaluation)
    if is_first() and any(benchmark.task == CODE_TASK for benchmark in benchmarks.values()):
        check_sandbox()
    names = [*benchmarks, *(f"held_out_loss/{pool}" for pool in sorted(spec.held_out))]
    missing = [name for name in names if not _part_file(folder, name).exists()]
    with offline():
        questions = Questions(spec, missing) if missing else None
        if questions:
            # A resumed job may not need the model at all.
            model = LoadedModel(lambda: _load(spec))
            with ExitStack() as stack:
                some = partial(ask_some, spec, tuple(benchmarks))
                engine = cache(lambda: stack.enter_context(answering(spec, folder, model, some)))
                answer_all(folder, questions.works(engine, model.for_loss, lambda name: _part(folder, name, questions)))
        if is_first():
            parts = {name: _part(folder, name, questions) for name in names}
            if _contents(spec) != contents:
                raise PlatformError("datasets were fetched again while they were used for an evaluation; run again")
            _finish(spec, folder, parts)
    wait_for_all()
    return _result(folder)


def _finish(spec: EvaluationSpec, folder: Path, parts: dict[str, Part]) -> None:
    for table, schema in (("results", RESULT_SCHEMA), ("items", ITEM_SCHEMA)):
        rows = [row for part in parts.values() for row in part[table]]
        with whole_file(folder / f"{table}.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)
    remove_answers(folder)
    # Of a job that was killed between its last answer and this.
    remove_exported(folder)
    write_manifest(
        folder,
        {
            "benchmarks": {name: part["facts"] for name, part in parts.items()},
            "left_out": {
                name: "run_generated_code is never" for name in spec.evaluation.benchmarks if name not in parts
            },
            "lm_eval": version("lm_eval"),
            "engine": engine_name(spec.evaluation),
            **agreement(folder),
            "seed": spec.seed,
            "template": text_identity(Path(spec.model_folder), spec.text),
        },
    )


def _load(spec: EvaluationSpec) -> tuple[PreTrainedModel, Renderer]:
    model, tokenizer = load_model(Path(spec.model_folder), spec.dtype)
    return model, make_renderer(tokenizer, spec.text)


def _result(folder: Path) -> dict[str, Any]:
    return read_manifest(folder) or {}


class Questions:
    """What an evaluation asks, each list of prompts in pieces, and the scores of what was answered.

    Args:
        spec: of the evaluation.
        names: the benchmarks and held-out losses that are wanted.
    """

    def __init__(self, spec: EvaluationSpec, names: Sequence[str]) -> None:
        self._spec = spec
        self.renderer = load_renderer(Path(spec.model_folder), spec.text)
        limit = positions(weights_config(Path(spec.model_folder)))
        self._max_length = limit or sys.maxsize
        # vLLM makes batches itself.
        self._batch_size = spec.evaluation.batch_size if spec.evaluation.engine == "transformers" else None
        self._held_out: dict[str, HeldOut] = {}
        self._pieces: dict[str, list[Piece]] = {}
        with progress("prompts", len(names), "benchmarks") as done:
            for name in names:
                self._pieces[name] = (
                    self._of_benchmark(name)
                    if name in spec.evaluation.benchmarks
                    else self._of_loss(name, min(spec.max_length, limit or spec.max_length))
                )
                done.advance()

    def _of_benchmark(self, name: str) -> list[Piece]:
        plan = Planned(self._max_length, self._batch_size)
        with quiet_lm_eval(), datasets_of(self._spec, name):
            tasks, limit = tasks_of(self._spec, name), self._spec.evaluation.benchmarks[name].limit
            ask_items(tasks, limit, ChatModel(plan, self.renderer))
        return plan.pieces

    def _of_loss(self, name: str, longest: int) -> list[Piece]:
        rows = pq.read_table(self._spec.held_out[name.partition("/")[2]]).to_pylist()
        conversations = [(row["sample_id"], to_messages(row["messages"], row.get("untrained"))) for row in rows]
        self._held_out[name] = HeldOut(self.renderer, conversations, longest)
        return pieces_of_rows(self._held_out[name], self._spec.tokens_per_batch)

    def works(
        self, engine: Callable[[], Engine], model: Callable[[], PreTrainedModel], score: Callable[[str], object]
    ) -> list[Work]:
        """The work, given what loads the engine, and the model of the held-out losses, and what scores one by name."""
        works = {
            name: Work(f"held-out loss, {name.partition('/')[2]}", "conversations", pieces, model, partial(score, name))
            if name in self._held_out
            else Work(f"benchmark {name}", "requests", pieces, engine, partial(score, name))
            for name, pieces in self._pieces.items()
        }
        # vLLM comes last, so that two models are never in memory.
        losses_first = self._spec.evaluation.engine == "vllm"
        return [works[name] for name in sorted(works, key=lambda name: (name in self._held_out) != losses_first)]

    def part(self, name: str, folder: Path) -> Part:
        """The scores of a benchmark or a held-out loss, whose answers lie in the job's folder."""
        kept = Kept(folder, self._max_length, self._batch_size)
        if name not in self._held_out:
            return run_benchmark(name, self._spec, kept, self.renderer)
        bits = np.zeros(len(self._held_out[name].rows))
        for row, found in kept.read(self._pieces[name]):
            bits[row] = found
        return _part_of_loss(name, self._held_out[name].loss(bits), kept.seconds)


def run_benchmark(name: str, spec: EvaluationSpec, answered: Kept, renderer: Renderer) -> Part:
    """Score one benchmark's tasks through lm-eval."""
    started = time.monotonic()
    benchmark = spec.evaluation.benchmarks[name]
    with quiet_lm_eval(), datasets_of(spec, name):
        tasks = tasks_of(spec, name)
        chat = ChatModel(answered, renderer)
        samples = run_items(tasks, benchmark.limit, chat)
    scoring = scoring_of(name, benchmark.file)
    higher_is_better = cast(dict[str, bool], next(iter(tasks.values())).higher_is_better())
    ours = benchmark.rule is not None or benchmark.task.startswith(OFFLINE_PREFIX)
    metrics = metrics_of(scoring, list(higher_is_better), ours=ours)
    answer_filter = None if ours else scoring.filter
    items = [
        item
        for subtask, task in tasks.items()
        for item in _items(name, task, samples[subtask], metrics, answer_filter, chat.cut_off)
    ]
    results = summarise(items, scoring.macro, metrics[0], higher_is_better | dict.fromkeys(CARD, True))
    facts = {
        "task": benchmark.task or benchmark.file,
        "task_versions": {subtask: task.VERSION for subtask, task in tasks.items()},
        "shots": sorted({task.get_config("num_fewshot") for task in tasks.values()}),
        "metric": metrics[0],
        "filter": answer_filter,
        "average": "subtasks" if scoring.macro else "items",
        "items": results[0].items,
        "limit": benchmark.limit,
        "max_new_tokens": benchmark.max_new_tokens,
        "truncated_prompts": chat.truncated_prompts,
        "cut_off": len(chat.cut_off),
        # Of all processes together.
        "seconds": round(answered.seconds + time.monotonic() - started, 2),
    }
    return _as_part(results, items, facts)


def _part_of_loss(name: str, loss: HeldOutLoss, seconds: float) -> Part:
    pool = name.partition("/")[2]
    items = [
        ItemResult(name, pool, row["sample_id"], METRIC, row[METRIC], float(row["bytes"]), None)
        for row in loss.items.to_pylist()
    ]
    result = Result(name, METRIC, loss.bits_per_byte, loss.stderr, len(items), primary=True, higher_is_better=False)
    facts = {
        "metric": METRIC,
        "items": len(items),
        "cut": loss.cut,
        "left_out": loss.left_out,
        "seconds": round(seconds, 2),
    }
    return _as_part([result], items, facts)


def _items(
    benchmark: str,
    task: Task,
    samples: Sequence[dict[str, Any]],
    metrics: Sequence[str],
    answer_filter: str | None,
    cut_off: Collection[str],
) -> Iterator[ItemResult]:
    """One row per item and metric, from the logged samples of one task: the primary metric first, then the card's."""
    filters = {sample["filter"]: None for sample in samples}
    wanted = answer_filter or next(iter(filters))
    if wanted not in filters:
        raise UnusableTask(f"benchmark {benchmark}: {task.task_name} has no filter {wanted}, but {', '.join(filters)}")
    seen: dict[str, dict[str, int]] = {name: {} for name in filters}
    for sample in samples:
        rule = sample["filter"]
        item_id = numbered(item_hash(dict(sample["doc"])), seen[rule])
        if rule != wanted:
            # lm-eval writes it so too. Among these are the official rules that published numbers follow.
            values = {f"{metrics[0]},{rule}": float(sample[metrics[0]])}
        else:
            values = {metric: float(sample[metric]) for metric in metrics} | _card(task, sample, cut_off)
        for metric, value in values.items():
            response = _response(task, sample) if metric == metrics[0] else None
            yield ItemResult(benchmark, task.task_name, item_id, metric, value, 1.0, response)


def _card(task: Any, sample: dict[str, Any], cut_off: Collection[str]) -> dict[str, float]:
    """What is said of a written answer beside its scores; a choice has no card."""
    if task.OUTPUT_TYPE != "generate_until":
        return {}
    # Where lm-eval's filter finds nothing, it says so.
    filtered = sample["filtered_resps"][0]
    found = sample.get(ANSWER_FOUND, isinstance(filtered, str) and filtered.strip() not in ("", "[invalid]"))
    return {ANSWER_FOUND: float(found), ENDED: float(sample["arguments"][0][0] not in cut_off)}


def _response(task: Any, sample: dict[str, Any]) -> str:
    """The model's answer, or its likeliest choice."""
    answers = [responses[0] for responses in sample["resps"]]
    if task.OUTPUT_TYPE != "multiple_choice":
        return str(answers[0])
    likeliest = max(range(len(answers)), key=lambda index: answers[index][0])
    return str(task.doc_to_choice(sample["doc"])[likeliest])


def _identity(spec: EvaluationSpec) -> dict[str, Any]:
    """The inputs of the result: the spec, and the content of the files that it names."""
    # Their manifest stands for them.
    for folder in (spec.data_folder, *spec.datasets.values()):
        check_files(Path(folder))
    return {
        # `held_out_limit` is left out: it is already in the files of held-out conversations.
        "spec": {**spec.content("evaluation"), "run_generated_code": spec.evaluation.run_generated_code},
        "benchmarks": [_benchmark(name, settings) for name, settings in spec.evaluation.benchmarks.items()],
        "files": {name: content_of(name, Path(file)) for name, file in spec.files.items()},
        # Without its manifest, which has other times if the model is trained again.
        "model": model_identity(Path(spec.model_folder)),
        "items": read_manifest(Path(spec.data_folder)),
        "held_out": {pool: file_hash(Path(file)) for pool, file in spec.held_out.items()},
        "lm_eval": version("lm_eval"),
        "template": text_identity(Path(spec.model_folder), spec.text),
        "tasks": tasks_hash(),
        "scoring": {name: asdict(scoring) for name, scoring in SCORING.items()},
        "code_versions": {name: VERSIONS[name] for name in computations(spec.evaluation)}
        | logits_read(spec.evaluation, spec.dtype, held_out=bool(spec.held_out)),
        # Left out where no task reads the hub, as in versions that did not fetch beforehand.
        **({"datasets": _contents(spec)} if spec.datasets else {}),
        # Left out where transformers answers, as in versions without another engine.
        **({"engine": engine_name(spec.evaluation)} if answers_with_vllm(spec.evaluation) else {}),
    }


def _contents(spec: EvaluationSpec) -> dict[str, str]:
    """Hashes of the rows that were fetched for benchmarks."""
    return {name: fetched_content(Path(folder)) for name, folder in spec.datasets.items()}


def _benchmark(name: str, settings: BenchmarkSettings) -> dict[str, Any]:
    """The settings of a benchmark; a file counts by its content, and not by its place."""
    return {"name": name, **{key: value for key, value in settings.content().items() if key != "file"}}


def _part_file(folder: Path, name: str) -> Path:
    return folder / "parts" / f"{name.replace('/', '.')}.json"


def _part(folder: Path, name: str, questions: Questions | None) -> Part:
    """The part from the folder, or a new one, which is written there."""
    path = _part_file(folder, name)
    if questions and not path.exists():
        part = questions.part(name, folder)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(part, ensure_ascii=False), encoding="utf-8", errors="replace")
    return json.loads(path.read_text(encoding="utf-8"))


def _as_part(results: list[Result], items: list[ItemResult], facts: dict[str, Any]) -> Part:
    return {"results": as_records(results), "items": as_records(items), "facts": facts}


def _by_one_process(spec: EvaluationSpec) -> bool:
    """Whether vLLM answers: it fills its batches itself, and best with all prompts."""
    return answers_with_vllm(spec.evaluation)


EVALUATION = Job(
    "evaluation", evaluate, EvaluationSpec, _identity, _result, several_processes=True, by_one_process=_by_one_process
)
