"""The evaluation job: one model on all benchmarks, and on held-out answers.

Each finished benchmark is a separate file in `parts/`, so a killed job continues after the last one. The finished
folder has `results.parquet` and `items.parquet` (`results.Result`, `results.ItemResult`) and the manifest.
"""

import contextlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import lm_eval
import pyarrow as pa
import pyarrow.parquet as pq
from lm_eval.api.task import Task
from transformers import PreTrainedModel

from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.evaluation.benchmark_tasks import OwnFile, chosen_items, load_tasks, quiet_lm_eval, tasks_hash
from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine import Engine
from selection_platform.evaluation.engine_check import PROMPTS
from selection_platform.evaluation.engine_names import engine_name
from selection_platform.evaluation.engines import LoadedModel, agreement, answering, remove_exported
from selection_platform.evaluation.held_out_loss import METRIC, held_out_loss
from selection_platform.evaluation.items import item_hash
from selection_platform.evaluation.own_benchmarks import content_of
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
from selection_platform.evaluation.task_datasets import TaskDatasets, fetched_content, offline, read_fetched
from selection_platform.evaluation.task_names import UnusableTask
from selection_platform.job.folder import (
    file_hash,
    open_job_folder,
    read_manifest,
    whole_file,
    write_manifest,
)
from selection_platform.job.integrity import check_files
from selection_platform.job.progress import progress
from selection_platform.job.registry import Job
from selection_platform.job.versions import VERSIONS
from selection_platform.models.loading import load_model
from selection_platform.models.provenance import model_identity
from selection_platform.models.renderers import text_identity
from selection_platform.text.conversation import to_messages
from selection_platform.text.renderer import Renderer
from selection_platform.text.template_choice import make_renderer

Part = dict[str, Any]
"""The outcome of one benchmark as JSON: `results`, `items`, and `facts` for the manifest."""


def evaluate(spec: EvaluationSpec, folder: Path) -> dict[str, Any]:
    """Evaluate a model, unless the folder already has the same evaluation.

    Returns:
        The manifest: facts about each benchmark, benchmarks that were left out, versions.

    Raises:
        SandboxUnavailable: generated code cannot be contained on this machine; nothing was evaluated.
        VllmFailed, EnginesDisagree: see `engines.answering`.
        UnusableTask, MissingData, UnreadableModel: a task, data or the model of the spec cannot be used.
    """
    if open_job_folder(folder, _identity(spec)):
        return _result(folder)
    named, benchmarks = spec.evaluation.benchmarks, left_in(spec.evaluation)
    if any(benchmark.task == CODE_TASK for benchmark in benchmarks.values()):
        check_sandbox()
    # A resumed job may not need the model at all.
    model = LoadedModel(lambda: _load(spec))
    with contextlib.ExitStack() as stack:
        stack.enter_context(offline())
        # Code of tasks may load datasets at any time.
        stack.enter_context(read_fetched(", ".join(spec.datasets), [_fetched(spec, name) for name in spec.datasets]))
        ask_some = partial(_ask_some, spec, tuple(benchmarks))
        engine = cache(lambda: stack.enter_context(answering(spec, folder, model, ask_some)))
        answered = {name: lambda name=name: run_benchmark(name, spec, *engine()) for name in benchmarks}
        losses = {
            f"held_out_loss/{pool}": lambda pool=pool, file=file: run_held_out(
                f"held_out_loss/{pool}", Path(file), spec, *model()
            )
            for pool, file in sorted(spec.held_out.items())
        }
        # vLLM comes last, so that two models are never in memory.
        runs = losses | answered if spec.evaluation.engine == "vllm" else answered | losses
        done = {name: _part(folder, name, run) for name, run in runs.items()}
    parts = {name: done[name] for name in [*answered, *losses]}
    for table, schema in (("results", RESULT_SCHEMA), ("items", ITEM_SCHEMA)):
        rows = [row for part in parts.values() for row in part[table]]
        with whole_file(folder / f"{table}.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)
    # Of a job that was killed between its last part and this.
    remove_exported(folder)
    write_manifest(
        folder,
        {
            "benchmarks": {name: part["facts"] for name, part in parts.items()},
            "left_out": {name: "run_generated_code is never" for name in named if name not in benchmarks},
            "lm_eval": version("lm_eval"),
            "engine": engine_name(spec.evaluation),
            **agreement(folder),
            "seed": spec.seed,
            "template": text_identity(Path(spec.model_folder), spec.text),
        },
    )
    return _result(folder)


def _load(spec: EvaluationSpec) -> tuple[PreTrainedModel, Renderer]:
    model, tokenizer = load_model(Path(spec.model_folder), spec.dtype)
    return model, make_renderer(tokenizer, spec.text)


def _result(folder: Path) -> dict[str, Any]:
    return read_manifest(folder) or {}


def run_benchmark(name: str, spec: EvaluationSpec, engine: Engine, renderer: Renderer) -> Part:
    """Run one benchmark's tasks through lm-eval and score them."""
    started = time.monotonic()
    benchmark = spec.evaluation.benchmarks[name]
    with progress(f"benchmark {name}", None, "requests") as done, quiet_lm_eval():
        tasks = _tasks(spec, name)
        chat = ChatModel(engine, renderer, done.advance, done.expect)
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
        "seconds": round(time.monotonic() - started, 2),
    }
    return _as_part(results, items, facts)


def _tasks(spec: EvaluationSpec, name: str) -> dict[str, Task]:
    """The tasks of a benchmark by name."""
    file = OwnFile(Path(spec.files[name]), content_of(name, Path(spec.files[name]))) if name in spec.files else None
    fetched = _fetched(spec, name) if name in spec.datasets else None
    return load_tasks(name, spec.evaluation.benchmarks[name], Path(spec.data_folder), spec.seed, file, fetched)


def _fetched(spec: EvaluationSpec, name: str) -> TaskDatasets:
    folder = Path(spec.datasets[name])
    return TaskDatasets(folder, fetched_content(folder))


def _ask_some(spec: EvaluationSpec, benchmarks: Sequence[str], chat: ChatModel) -> None:
    """Ask some items: of the benchmarks in turn, and of their tasks in turn, each time the next one."""
    with quiet_lm_eval():
        items = _in_turn(_in_turn(_first_items(spec, name)) for name in benchmarks)
        for task, place in items[:PROMPTS]:
            cast(Any, task).build_all_requests(
                samples=[place],
                apply_chat_template=True,
                fewshot_as_multiturn=True,
                chat_template=chat.apply_chat_template,
            )
            # A request's type is the name of the method that answers it.
            getattr(chat, task.instances[0].request_type)(task.instances)


def _first_items(spec: EvaluationSpec, name: str) -> Iterator[list[tuple[Task, int]]]:
    """Of each task of a benchmark, the places of the first items that are asked."""
    for task in _tasks(spec, name).values():
        places = chosen_items(task, spec.evaluation.benchmarks[name].limit) or range(len(task.eval_docs))
        yield [(task, place) for place in places[:PROMPTS]]


def _in_turn(lists: Iterable[list[tuple[Task, int]]]) -> list[tuple[Task, int]]:
    """The first of each list, then the second of each, and so on."""
    return [each for turn in zip_longest(*lists) for each in turn if each is not None]


def run_items(tasks: dict[str, Task], limit: int | None, chat: ChatModel) -> dict[str, list[Any]]:
    """lm-eval's log of every item, by task.

    Args:
        tasks: tasks by name, from `load_tasks`.
        limit: items per task; see `EvaluationSpec`.
        chat: the model.
    """
    chosen = {name: chosen_items(task, limit) for name, task in tasks.items()}
    # lm-eval's decorators hide the parameters of its functions from the type checker.
    outcome = cast(Any, lm_eval.evaluate)(
        lm=chat,
        task_dict={"tasks": tasks},
        samples={name: places for name, places in chosen.items() if places is not None} or None,
        bootstrap_iters=0,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
    )
    return outcome["samples"]


def run_held_out(name: str, file: Path, spec: EvaluationSpec, model: PreTrainedModel, renderer: Renderer) -> Part:
    """Measure the loss on one pool's held-out answers."""
    started = time.monotonic()
    rows = pq.read_table(file).to_pylist()
    conversations = [(row["sample_id"], to_messages(row["messages"], row.get("untrained"))) for row in rows]
    loss = held_out_loss(model, renderer, conversations, spec.tokens_per_batch, spec.max_length)
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
        "seconds": round(time.monotonic() - started, 2),
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
        **(
            {"datasets": {name: fetched_content(Path(each)) for name, each in spec.datasets.items()}}
            if spec.datasets
            else {}
        ),
        # Left out where transformers answers, as in versions without another engine.
        **({"engine": engine_name(spec.evaluation)} if answers_with_vllm(spec.evaluation) else {}),
    }


def _benchmark(name: str, settings: BenchmarkSettings) -> dict[str, Any]:
    """The settings of a benchmark; a file counts by its content, and not by its place."""
    return {"name": name, **{key: value for key, value in settings.content().items() if key != "file"}}


def _part(folder: Path, name: str, run: Callable[[], Part]) -> Part:
    """The part from the folder, or a new one, which is written there."""
    path = folder / "parts" / f"{name.replace('/', '.')}.json"
    if not path.exists():
        part = run()
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(part, ensure_ascii=False), encoding="utf-8", errors="replace")
    return json.loads(path.read_text(encoding="utf-8"))


def _as_part(results: list[Result], items: list[ItemResult], facts: dict[str, Any]) -> Part:
    return {"results": as_records(results), "items": as_records(items), "facts": facts}


EVALUATION = Job("evaluation", evaluate, EvaluationSpec, _identity, _result)
