import socket
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.evaluation import benchmark_tasks, harness
from selection_platform.evaluation.benchmark_data import BENCHMARKS, prepare, read_items
from selection_platform.evaluation.benchmark_tasks import load_tasks
from selection_platform.evaluation.harness import evaluate
from selection_platform.evaluation.ifeval import check_response
from selection_platform.evaluation.items import item_hash
from selection_platform.evaluation.results import summarise
from selection_platform.evaluation.sandbox import SandboxUnavailable, check_sandbox
from selection_platform.evaluation.spec import EvaluationSpec
from selection_platform.evaluation.task_names import UnusableTask
from selection_platform.job.folder import read_manifest
from tests.chats import chat_of
from tests.specs import changed, made
from tests.tiny import paper

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("items")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A tiny random model; every byte is a token."""
    folder = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=len(alphabet),
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def spec(model_folder, data_folder, tmp_path):
    held_out = tmp_path / "held_out.parquet"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    pq.write_table(pa.table({"sample_id": ["x", "y"], "messages": [messages, messages]}), held_out)
    return made(
        EvaluationSpec,
        model_folder=str(model_folder),
        data_folder=str(data_folder),
        benchmarks={name: BenchmarkSettings(task=f"offline_{name}", limit=1, max_new_tokens=4) for name in BENCHMARKS},
        tokens_per_batch=8192,
        max_length=4096,
        files={},
        held_out={"pool": str(held_out)},
        dtype="float32",
        batch_size=24,
    )


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_all_benchmarks_end_to_end_and_resume(spec, tmp_path, monkeypatch):
    try:
        check_sandbox()
        spec = changed(spec, run_generated_code="sandboxed")
    except SandboxUnavailable:
        pass
    EvaluationSpec.model_validate_json(spec.model_dump_json())
    folder = tmp_path / "evaluation"
    evaluate(spec, folder)
    results = pq.read_table(folder / "results.parquet").to_pylist()
    primary = {row["benchmark"]: row for row in results if row["primary"]}
    ran = [name for name in BENCHMARKS if name != "humaneval" or spec.evaluation.run_generated_code == "sandboxed"]
    assert set(primary) == {*ran, "held_out_loss/pool"}
    assert all(0 <= row["value"] <= 1 for row in results if row["higher_is_better"])
    assert {name: row["items"] for name, row in primary.items()} == dict.fromkeys(ran, 1) | {
        "bbh": 24,
        "held_out_loss/pool": 2,
    }
    # A byte model that knows nothing needs about 8 bits a byte.
    assert primary["held_out_loss/pool"]["value"] == pytest.approx(8, abs=0.3)
    items = pq.read_table(folder / "items.parquet").to_pylist()
    assert len({(row["benchmark"], row["task"], row["item_id"], row["metric"]) for row in items}) == len(items)
    # Four tokens end no answer of a model that knows nothing; what it chooses among has no card.
    ended = {row["benchmark"]: row["value"] for row in results if row["metric"] == "ended"}
    assert ended == dict.fromkeys({*ran} - {"mmlu"}, 0.0)
    assert {row["response"] for row in items if row["benchmark"] == "mmlu"} <= set("ABCD")
    primary_rows = {(name, row["metric"]) for name, row in primary.items() if name in ran}
    assert {(row["benchmark"], row["metric"]) for row in items if row["response"] is not None} == primary_rows
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest["benchmarks"]["bbh"]["shots"] == [3]
    assert manifest["benchmarks"]["gsm8k"]["shots"] == [8]
    assert manifest["benchmarks"]["gsm8k"]["truncated_prompts"] == 1

    # Killed before the last part: only that part is computed again, to the same rows.
    (folder / "manifest.json").unlink()
    (folder / "parts" / "mmlu.json").unlink()
    asked: list[str] = []
    run = harness.run_benchmark
    monkeypatch.setattr(harness, "run_benchmark", lambda name, *rest: asked.append(name) or run(name, *rest))
    evaluate(spec, folder)
    assert asked == ["mmlu"]
    assert pq.read_table(folder / "items.parquet").to_pylist() == items
    # Complete: nothing is done, not even loading the model.
    monkeypatch.setattr(harness, "load_model", None)
    evaluate(spec, folder)
    assert asked == ["mmlu"]


def test_generated_code_never_runs_unless_asked(spec, tmp_path):
    only = changed(spec, benchmarks={"humaneval": BenchmarkSettings(task="offline_humaneval", limit=1)}, held_out={})
    evaluate(only, tmp_path / "evaluation")
    assert pq.read_table(tmp_path / "evaluation" / "results.parquet").num_rows == 0
    manifest = read_manifest(tmp_path / "evaluation")
    assert manifest is not None
    assert manifest["left_out"] == {"humaneval": "run_generated_code is never"}


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
def test_a_file_of_ones_own_is_evaluated_and_known_by_its_content(spec, tmp_path):
    path = tmp_path / "prompts.jsonl"
    mine = BenchmarkSettings(file="prompts.jsonl", rule="contains", max_new_tokens=4)
    only = changed(spec, benchmarks={"mine": mine}, files={"mine": str(path)}, held_out={})
    EvaluationSpec.model_validate_json(only.model_dump_json())
    for rows in (2, 3):
        path.write_text("".join(f'{{"prompt": "{n}?", "reference": "{n}"}}\n' for n in range(rows)))
        evaluate(only, tmp_path / "evaluation")
        results = pq.read_table(tmp_path / "evaluation" / "results.parquet").to_pylist()
        assert {row["metric"]: (row["items"], row["primary"]) for row in results} == {
            "contains": (rows, True), "answer_found": (rows, False), "ended": (rows, False),
        }  # fmt: skip


@pytest.mark.slow
def test_prompts_have_the_worked_examples_as_turns(data_folder, model_folder):
    model, tokenizer = harness.load_model(model_folder, "float32")
    chat = chat_of(model, paper(tokenizer), 1)

    def prompt(name, shots=None):
        settings = BenchmarkSettings(task=f"offline_{name}", shots=shots, limit=1)
        task = next(iter(load_tasks(name, settings, data_folder, 0).values()))
        task.build_all_requests(
            samples=[0], apply_chat_template=True, fewshot_as_multiturn=True, chat_template=chat.apply_chat_template
        )
        return task.instances[0].arguments, dict(task.eval_docs[0])

    (text, _), item = prompt("gsm8k", shots=1)
    assert text == (
        "Human: Q: There are 15 trees in the grove. Grove workers will plant trees in the grove today. After they are "
        "done, there will be 21 trees. How many trees did the grove workers plant today?\nA:\nAssistant: There are 15 "
        "trees originally. Then there were 21 trees after some more were planted. So there must have been 21 - 15 = 6. "
        f"The answer is 6.<|end|>\nHuman: Q: {item['question']}\nA:\nAssistant: "
    )
    (text, _), item = prompt("bbh")
    assert text.startswith("Answer questions about causal attribution.\nHuman: Q: How would a typical person")
    assert text.count("Human: ") == 4
    assert text.count("<|end|>") == 3
    assert text.endswith(f"<|end|>\nHuman: Q: {item['input']}\nA: Let's think step by step.\nAssistant: ")
    (text, _), item = prompt("humaneval")
    assert text.endswith(
        f"{item['prompt']}\nAssistant: Here is the completed function:\n\n\n```python\n{item['prompt']}"
    )
    (text, answer), item = prompt("mmlu")
    assert (text.endswith(f"\nD. {item['choices'][3]}\nAnswer:\nAssistant: "), answer) == (True, "A")


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("gsm8k", "So he pays 3 + 15 = ${gold}.00 for 2 apples.", [1.0, 0.0, 0.0, 1.0]),
        ("gsm8k", "I do not know", [0.0, 0.0, 0.0, 0.0]),
        ("bbh", "Thus the answer is: {gold}", [1.0, 0.0, 1.0]),
        ("bbh_direct", "{gold}.", [1.0, 0.0, 1.0]),
    ],
)
def test_our_tasks_list_what_their_rules_give(data_folder, name, answer, expected):
    settings = BenchmarkSettings(task=f"offline_{name}", limit=1)
    task: Any = next(iter(load_tasks(name, settings, data_folder, 0).values()))
    item = task.eval_docs[0]
    task.build_all_requests(samples=[0])
    task.instances[0].resps = [answer.format(gold=task.doc_to_target(item))]
    task.apply_filters()
    (filtered,) = task.instances[0].filtered_resps.values()
    scores = task.process_results(item, [filtered])
    assert list(scores) == list(cast(dict[str, bool], task.higher_is_better()))
    assert list(scores.values()) == expected


@pytest.mark.slow
def test_of_lm_evals_own_tasks_the_other_rules_and_the_card_are_stored_too():
    folder = distribution("lm_eval").locate_file("lm_eval/tasks/gsm8k/gsm8k-cot.yaml")
    config = yaml.safe_load(Path(str(folder)).read_text())
    rows = [{"question": "Six and a dozen?", "answer": "#### 18"}, {"question": "Half of 36?", "answer": "#### 18"}]
    data = {"custom_dataset": lambda **_: {"test": Dataset.from_list(rows)}}
    own = {"num_fewshot": 0, "dataset_path": None, "dataset_name": None}
    task: Any = ConfigurableTask(config=config | data | own)
    chat = Replies({"Six": "The answer is 18. Or 7", "Half": "None"}, cut_off={"Half"})
    samples = harness.run_items({"gsm8k": task}, None, cast(Any, chat))["gsm8k"]
    items = list(harness._items("gsm8k", task, samples, ["exact_match"], "flexible-extract", chat.cut_off))
    by_metric = {metric: [row.correct for row in items if row.metric == metric] for metric in {*ROWS}}
    assert by_metric == ROWS
    assert {row.metric for row in items if row.response is not None} == {"exact_match"}
    found = summarise(items, False, "exact_match", {"exact_match": True, "answer_found": True, "ended": True})
    assert {row.metric: row.primary for row in found} == dict.fromkeys(ROWS, False) | {"exact_match": True}


ROWS = {
    "exact_match": [0.0, 0.0],
    "exact_match,strict-match": [1.0, 0.0],
    "answer_found": [1.0, 0.0],
    "ended": [1.0, 0.0],
}


class Replies:
    """Stands for a model that answers by the question's first word."""

    rank, world_size, tokenizer_name = 0, 1, ""

    def __init__(self, answers, cut_off):
        self.answers, self.asked_cut_off = answers, cut_off
        self.cut_off = set()

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        return chat_history[-1]["content"]

    def generate_until(self, requests):
        prompts = [request.arguments[0] for request in requests]
        words = {prompt: next(word for word in self.answers if word in prompt) for prompt in prompts}
        self.cut_off |= {prompt for prompt, word in words.items() if word in self.asked_cut_off}
        return [self.answers[words[prompt]] for prompt in prompts]


@pytest.mark.slow
def test_ifeval_strict_and_loose():
    item = {
        "key": 1,
        "prompt": "",
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
        "kwargs": [{}, {}],
    }
    names = (
        "prompt_level_strict_acc",
        "prompt_level_loose_acc",
        "answer_found",
        "language_followed",
        "format_followed",
    )
    passed = dict.fromkeys(names, 1.0)
    assert check_response(item, ['"Fine"']) == passed
    # Loosely, a first line may be dropped.
    wrong_form = {"prompt_level_strict_acc": 0.0, "format_followed": 0.0}
    assert check_response(item, ['Sure!\n"Fine"']) == passed | wrong_form
    assert check_response(item, ['"Well, fine"']) == passed | wrong_form | {"prompt_level_loose_acc": 0.0}
    assert check_response(item, [" "]) == dict.fromkeys(passed, 0.0) | {"language_followed": 1.0}
    german = item | {"instruction_id_list": ["language:response_language"], "kwargs": [{"language": "de"}]}
    scores = check_response(german, ["This is certainly a sentence in the English language."])
    assert scores == dict.fromkeys(passed, 0.0) | {"answer_found": 1.0, "format_followed": 1.0}
    # Sentences are counted with punkt_tab, which must be found without a download.
    three = item | {
        "instruction_id_list": ["length_constraints:number_sentences"],
        "kwargs": [{"num_sentences": 3, "relation": "at least"}],
    }
    assert check_response(three, ["One. Two! Three?"]) == passed


def test_the_limit_takes_the_same_items_in_any_order(data_folder):
    rows = read_items(data_folder, "gsm8k")[""]
    few = load_tasks("gsm8k", BenchmarkSettings(task="offline_gsm8k", limit=3), data_folder, 0)["offline_gsm8k"]
    assert [dict(row)["question"] for row in few.eval_docs] == [
        row["question"] for row in sorted(rows, key=item_hash)[:3]
    ]
    assert item_hash({"a": [{"b": 1, "c": None}]}) == item_hash({"a": [{"b": 1}]})


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("arc", {"task": "offline_arc"}, "no task offline_arc; the offline tasks are offline_bbh"),
        ("mmlu", {"task": "offline_mmlu", "shots": 5, "limit": 1}, "shots is 5, but offline_mmlu has only 0; lower it"),
        ("humaneval", {"task": "humaneval"}, "name offline_humaneval"),
        ("x", {"task": "no_such_task"}, "lm-eval has no task no_such_task"),
    ],
)
def test_unusable_tasks_are_refused(data_folder, name, asked, message, monkeypatch):
    stock = distribution("lm_eval").locate_file("lm_eval/tasks/humaneval")
    few = TaskManager(include_path=str(stock), include_defaults=False)
    monkeypatch.setattr(benchmark_tasks, "_task_manager", lambda: few)
    with pytest.raises(UnusableTask, match=message):
        load_tasks(name, BenchmarkSettings(**asked), data_folder, 0)
