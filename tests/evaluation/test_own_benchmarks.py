"""Benchmarks of one's own: files of prompts, by each rule, and task files of lm-eval."""

import gzip
import json
from typing import Any, cast

import pytest

from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.evaluation.answer_rules import check_answer
from selection_platform.evaluation.asking import run_items
from selection_platform.evaluation.benchmark_tasks import OwnFile, load_tasks
from selection_platform.evaluation.harness import _items
from selection_platform.evaluation.own_benchmarks import check_benchmark, content_of, read_prompts
from selection_platform.evaluation.own_task_files import read_task_file
from selection_platform.evaluation.results import metrics_of, scoring_of
from selection_platform.evaluation.spec import computations
from selection_platform.evaluation.task_names import UnusableTask
from selection_platform.job.folder import content_hash, file_hash

CHOICE = "Which is a colour?\nA) Rome\nB) Red\nC) Reed"
DIALOGUE = "Q: Which letter is first?\nA: A\nQ: Which is a colour?"
ANSWERS = [
    # rule, prompt, references, answer, right
    ("exact", "Capital of France?", ["Paris"], "Paris", True),
    ("exact", "Capital of France?", ["Paris"], " **paris**.\n", True),
    ("exact", "Capital of France?", ["Paris"], "The answer is Paris.", True),
    ("exact", "Capital of France?", ["Paris"], '"Paris"', True),
    ("exact", "Capital of France?", ["Paris", "City of Light"], "city of  light", True),
    ("exact", "Capital of France?", ["Paris"], "It is Paris, I think", False),
    ("exact", "Capital of France?", ["Paris"], "Paris, Texas", False),
    ("exact", "Capital of France?", ["Paris"], "", False),
    ("number", "Six and a dozen?", ["18"], "6 + 12 = $18.00", True),
    ("number", "Six and a dozen?", ["18.0"], "The answer is eighteen.", True),
    ("number", "Six and a dozen?", ["17", "18"], "18", True),
    ("number", "Six and a dozen?", ["18"], "18 is wrong, the answer is 17", False),
    ("number", "Six and a dozen?", ["18"], "many", False),
    ("letter", CHOICE, ["B"], "B", True),
    ("letter", CHOICE, ["(B)"], "The answer is (B).", True),
    ("letter", CHOICE, ["B"], "b) Red", True),
    ("letter", CHOICE, ["B"], "Red", True),
    ("letter", CHOICE, ["B"], "Reed", False),
    ("letter", CHOICE, ["B"], "D", False),
    ("letter", "Say a letter", ["D"], "D", True),
    ("letter", f"Q: Say one.\n{CHOICE}\nQ: Which?", ["B"], "Red", True),
    ("letter", "A) Red\nB) Rome\n\n" + CHOICE, ["B"], "Red", True),
    ("letter", DIALOGUE, ["D"], "D", True),
    ("letter", "Note:\nB) Red\nC) Reed", ["D"], "D", True),
    ("contains", "Who wrote it?", ["Jane Austen"], "It was written by  **Jane\nAusten** in 1813.", True),
    ("contains", "Who wrote it?", ["Jane Austen"], "Jane and Austen", False),
    ("contains", "Who wrote it?", ["Jane Austen"], "", False),
    ("contains", "Is it?", ["no"], "I know it.", False),
    ("contains", "Is it?", ["no"], "Yes and no.", True),
    ("contains", "How much?", ["$5"], "It is US$5", True),
    ("contains", "How much?", ["$5"], "It is $50", False),
    ("contains", "Which?", ["C++"], "C++20", True),
    ("contains", "Where?", ["北京"], "我在北京工作", True),
    ("contains", "Which method?", ["__init__"], "It is `__init__`, of course", True),
    ("contains", "Which method?", ["__init__"], "It is init", False),
    ("contains", "Where?", ["Paris"], "In __Paris__.", True),
    ("exact", "Which method?", ["__init__"], "The answer is `__init__`.", True),
    ("exact", "Which method?", ["__init__"], "init", False),
]


@pytest.mark.parametrize(("rule", "prompt", "references", "answer", "right"), ANSWERS)
def test_an_answer_is_judged_by_its_rule(rule, prompt, references, answer, right):
    scores = check_answer(rule, {"prompt": prompt, "references": references}, [answer])
    assert scores[rule] == right
    assert scores["answer_found"] >= right


def written(folder, *rows):
    path = folder / "prompts.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("rule", "row", "message"),
    [
        ("exact", "not JSON", "line 3: not JSON"),
        ("exact", "[1]", "line 3: is no object"),
        ("exact", {"reference": "x"}, "line 3, field prompt: is no text"),
        ("exact", {"prompt": " ", "reference": "x"}, "line 3, field prompt: is no text"),
        ("exact", {"prompt": "p"}, "line 3, field reference: None is no text"),
        ("exact", {"prompt": "p", "reference": []}, "line 3, field reference: is an empty list"),
        ("exact", {"prompt": "p", "reference": ["x", " "]}, "line 3, field reference: ' ' is empty"),
        ("exact", {"prompt": "p", "reference": True}, "line 3, field reference: True is no text"),
        (
            "number",
            {"prompt": "p", "reference": "3 or 4"},
            "line 3, field reference: '3 or 4' is not one number, as rule",
        ),
        ("letter", {"prompt": "p", "reference": "Red"}, "line 3, field reference: 'Red' is not one capital letter"),
        (
            "letter",
            {"prompt": CHOICE, "reference": "(D)"},
            "'(D)' is none of the options A to C of the prompt, as rule",
        ),
        ("contains", {"prompt": "p", "reference": "**"}, "field reference: '**' has no more than signs that do not"),
        ("contains", {"prompt": "p", "reference": ["A", "."]}, "field reference: '.' has no more than signs that do"),
        ("exact", {"prompt": "p", "reference": "`"}, "field reference: '`' has no more than signs that do not count"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, rule, row, message):
    first = {"prompt": "p", "reference": {"number": "1"}.get(rule, "A")}
    path = written(tmp_path, first, " ", row)
    with pytest.raises(UnusableTask, match=r"^benchmark mine: ") as raised:
        read_prompts("mine", path, rule)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


# Named, because compressed bytes have the time, and test processes must agree on the names.
@pytest.mark.parametrize(
    "content",
    [b"plain", gzip.compress(b"{}" * 99)[:-9], gzip.compress(b"{}")[:12] + b"x" * 20],
    ids=["plain", "cut off", "damaged"],
)
def test_a_file_that_is_not_gzipped_is_told(tmp_path, content):
    (tmp_path / "prompts.jsonl.gz").write_bytes(content)
    with pytest.raises(UnusableTask, match="is not gzipped, or not whole"):
        read_prompts("mine", tmp_path / "prompts.jsonl.gz", "exact")


def test_numbers_and_lists_are_references_too(tmp_path):
    path = written(tmp_path, {"prompt": "p", "reference": 18, "id": 1}, {"prompt": "q", "reference": ["1", 2.5]})
    assert read_prompts("mine", path, "number") == [
        {"prompt": "p", "references": ["18"]},
        {"prompt": "q", "references": ["1", "2.5"]},
    ]
    with pytest.raises(UnusableTask, match="has no rows"):
        read_prompts("mine", written(tmp_path), "number")


class Echo:
    """Stands for a model that answers with the last word of the prompt."""

    rank, world_size, tokenizer_name = 0, 1, ""
    cut_off = ()

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        return chat_history[-1]["content"]

    def generate_until(self, requests):
        return [request.arguments[0].split()[-1] for request in requests]


def run(settings, path, name="mine"):
    file = OwnFile(path, content_of(name, path))
    tasks: Any = load_tasks(name, settings, path.parent, 0, file)
    samples = run_items(tasks, settings.limit, cast(Any, Echo()))
    ((task, loaded),) = tasks.items()
    scoring = scoring_of(name, settings.file)
    metrics = metrics_of(scoring, list(loaded.higher_is_better()), ours=settings.rule is not None)
    return list(_items(name, loaded, samples[task], metrics, scoring.filter, Echo.cut_off))


def test_a_file_of_prompts_is_run(tmp_path):
    rows = [{"prompt": f"Say {{{{ {n} }}}} and {n}", "reference": n if n < 3 else 0} for n in range(5)]
    path = written(tmp_path, *rows)
    settings = BenchmarkSettings(file=str(path), rule="number")
    items = run(settings, path)
    by_metric = {metric: sum(row.correct for row in items if row.metric == metric) for metric in
                 ("number", "answer_found", "ended")}  # fmt: skip
    assert by_metric == {"number": 3.0, "answer_found": 5.0, "ended": 5.0}
    few = run(settings.model_copy(update={"limit": 2}), path)
    assert {row.item_id for row in few} < {row.item_id for row in items}
    assert len(few) == 2 * 3
    # Another content in the same place is another task.
    again = run(settings, written(tmp_path, rows[0]))
    assert len(again) == 3


TASK = """
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
process_results: !function rules.check
metric_list:
  - {metric: fine, aggregation: mean, higher_is_better: true}
"""


def task_folder(folder):
    (folder / "base.yaml").write_text(TASK)
    (folder / "mine.yaml").write_text("include: base.yaml\nnum_fewshot: 0\n")
    (folder / "rules.py").write_text("def check(doc, results):\n    return {'fine': results[0] == doc['answer']}\n")
    (folder / "rows.jsonl").write_text('{"question": "Say yes", "answer": "yes"}\n{"question": "No", "answer": "?"}\n')
    return folder / "mine.yaml"


# Names of the packaged benchmarks have metrics and filters that this task has not.
@pytest.mark.parametrize("name", ["mine", "mmlu", "gsm8k"])
def test_a_task_file_is_run(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "task").mkdir()
    path = task_folder(tmp_path / "task")
    items = run(BenchmarkSettings(file=str(path)), path, name)
    assert [row.correct for row in items if row.metric == "fine"] == [1.0, 0.0]
    assert {row.metric for row in items} == {"fine", "answer_found", "ended"}


JSON = "task: t\ndataset_path: json\ndataset_kwargs: "
TASKS = {
    "rules.py": TASK,
    "rows.jsonl": TASK,
    "base.yaml": TASK,
    "lists/b.jsonl": JSON + "{data_files: [rows.jsonl, lists/b.jsonl]}",
    "lists/a.jsonl": JSON + "{data_files: {test: lists/*.jsonl}}",
    "lists/deep/c.jsonl": JSON + "{data_files: 'lists/**'}",
    "lists/deep/d.jsonl": JSON + "{data_dir: lists, data_files: deep/d.jsonl}",
    "lists/deep/e.jsonl": JSON + "{data_dir: lists}",
    "lists/rows.zip": JSON + "{data_files: 'zip://*.jsonl::lists/rows.zip'}",
    "lists/deep/f.jsonl": "task: t\ndataset_path: lists",
    "lists/g.jsonl": "task: t\ndataset_path: ./lists\ndataset_kwargs: {data_files: '*.jsonl'}",
    ".rows/h.jsonl": JSON + "{data_files: 'lists/../.rows/*.jsonl'}",
    "code/checks.py": "task: t\nprocess_results: !function code.checks.check",
    "code/helper.py": "task: t\nprocess_results: !function code.checks.check",
    "more/deep.py": "task: t",
}


@pytest.mark.parametrize(("name", "text"), [("mine.yaml", TASK), *TASKS.items()])
def test_all_that_a_task_file_consists_of_is_its_content(tmp_path, name, text):
    for folder in ("one", "other"):
        for file in TASKS:
            (tmp_path / folder / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / file).write_text(file)
        task_folder(tmp_path / folder)
        (tmp_path / folder / "helper.py").write_text("import more.deep\n")
        (tmp_path / folder / "base.yaml").write_text(text)
    one, other = (content_of("mine", tmp_path / folder / "mine.yaml") for folder in ("one", "other"))
    assert one == other
    cached = tmp_path / "other" / "lists" / "__pycache__" / "x.pyc"
    cached.parent.mkdir()
    cached.write_text("x")
    assert content_of("mine", tmp_path / "other" / "mine.yaml") == one
    changed = tmp_path / "other" / name
    changed.write_text(changed.read_text() + "\n")
    assert content_of("mine", tmp_path / "other" / "mine.yaml") != one


def test_data_elsewhere_is_no_part_of_the_content(tmp_path):
    for place in ("https://x.org/a.jsonl", "zip://a::https://x.org/a.zip", "hf://datasets/x/y/a.jsonl"):
        (tmp_path / "mine.yaml").write_text(f"{JSON}{{data_files: '{place}'}}")
        assert content_of("mine", tmp_path / "mine.yaml") == content_hash([file_hash(tmp_path / "mine.yaml")])
    (tmp_path / "mine.yaml").write_text("task: t\ndataset_path: org/name\ndataset_kwargs: {data_files: a.jsonl}")
    check_benchmark("mine", BenchmarkSettings(file=str(tmp_path / "mine.yaml")))


def test_what_is_included_last_counts_most(tmp_path):
    (tmp_path / "a.yaml").write_text("task: a\nx: 1\ny: 1\nz: 1")
    (tmp_path / "b.yaml").write_text("task: b\nx: 2\ny: 2")
    (tmp_path / "mine.yaml").write_text("include: [a.yaml, b.yaml]\nx: 3")
    assert read_task_file("mine", tmp_path / "mine.yaml").config == {"task": "b", "x": 3, "y": 2, "z": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [one, two]", "names no single task under `task`"),
        ("group: g\ntask: [one]", "names no single task"),
        ("task: mine\nunsafe_code: true", "runs generated code without a sandbox"),
        ("include: gone.yaml\ntask: mine", "includes gone.yaml, which is not beside it"),
        ("include: mine.yaml\ntask: mine", "includes itself"),
        ("include: {a: b}\ntask: mine", "include {'a': 'b'} names no files"),
        ("task: t\ndataset_path: json\ndataset_kwargs: [a]", "dataset_kwargs is no object"),
        ("task: t\ndataset_path: json", "dataset_path json reads files; name them under dataset_kwargs: data_files"),
        (JSON + "{data_files: [{a: b}]}", "data_files [{'a': 'b'}] names no files"),
        (JSON + "{data_files: '*.jsonl'}", "there is no file *.jsonl, which data_files names; correct it"),
        (JSON + "{data_dir: [a]}", "data_dir ['a'] is no folder"),
        ("a: [", "is no YAML"),
        ("- task", "is no task file of lm-eval"),
    ],
)
def test_a_task_file_that_cannot_be_used_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UnusableTask, match=r"benchmark mine: ") as raised:
        check_benchmark("mine", BenchmarkSettings(file=str(path)))
    assert message in str(raised.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UnusableTask, match=r"benchmark mine: there is no file .*gone\.jsonl; correct `file`"):
        check_benchmark("mine", BenchmarkSettings(file=str(tmp_path / "gone.jsonl"), rule="exact"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "name exactly one of task and file"),
        ({"task": "gsm8k", "file": "x.yaml"}, "name exactly one of task and file"),
        ({"file": "x.jsonl"}, "rule: x.jsonl needs one: exact, number, letter, contains"),
        ({"file": "x.yaml", "rule": "exact"}, "lm-eval's tasks have rules of their own"),
        ({"task": "gsm8k", "rule": "exact"}, "lm-eval's tasks have rules of their own"),
        ({"file": "x.jsonl", "rule": "exact", "shots": 2}, "a file of prompts has no worked examples"),
    ],
)
def test_settings_that_do_not_fit_together(settings, message):
    with pytest.raises(ValueError, match=message):
        BenchmarkSettings(**settings)


def test_what_is_not_asked_for_is_no_part_of_the_content():
    assert BenchmarkSettings(task="t").content() == {"task": "t", "shots": None, "limit": None, "max_new_tokens": None}
    evaluation = EvaluationSettings(benchmarks={"x": BenchmarkSettings(task="t")})
    assert evaluation.content()["benchmarks"] == {"x": BenchmarkSettings(task="t").content()}


@pytest.mark.parametrize(
    ("settings", "more"),
    [({"file": "x.jsonl", "rule": "exact"}, ()), ({"file": "x.yaml"}, ("stock_tasks",))],
)
def test_only_lm_evals_task_files_are_run_as_its_own(settings, more):
    evaluation = EvaluationSettings(benchmarks={"x": BenchmarkSettings(**settings)})
    assert computations(evaluation) == ("evaluation", *more)
