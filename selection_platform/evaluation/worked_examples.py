"""Target samples for LESS, from the worked examples that lm-eval ships for its few-shot prompts.

They are in lm-eval's task files and are not test items, so selecting for them does not select for the test. LESS itself
uses few-shot examples as targets, one group per subtask (arXiv 2402.04333). Only benchmarks with examples in the
installed package are supported; other tasks draw theirs from a split of the dataset.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple, cast

from selection_platform.errors import PlatformError
from selection_platform.evaluation.task_yaml import read_yaml
from selection_platform.job.folder import whole_file
from selection_platform.text.conversation import Message, sample_id, to_records


class _Source(NamedTuple):
    """The source of a benchmark's worked examples.

    Attributes:
        files: glob below lm-eval's folder of tasks.
        question: field with the question.
        answer: field with the worked answer.
    """

    files: str
    question: str
    answer: str


_SOURCES = {
    "gsm8k": _Source("gsm8k/gsm8k-cot.yaml", "question", "target"),
    "bbh": _Source("bbh/cot_fewshot/[a-z]*.yaml", "input", "target"),
    "mmlu": _Source("mmlu/flan_cot_fewshot/mmlu_*.yaml", "question", "target"),
}
WORKED_EXAMPLES = tuple(_SOURCES)
"""Benchmarks with worked examples."""


def worked_examples(benchmark: str) -> dict[str, list[list[Message]]]:
    """The worked examples of a benchmark: a question and its worked answer, as a conversation of one turn.

    Texts are unchanged, including oddities (in MMLU, some questions contain a line of the question before).

    Args:
        benchmark: "gsm8k" (one group), "bbh" (a group for each of 27 subsets, `bbh/<subset>`) or "mmlu" (one for each
            of 57 subjects, `mmlu/<subject>`).

    Returns:
        Groups by name, in alphabetical order. Some groups of BBH have the same examples.

    Raises:
        PlatformError: there are no worked examples for the benchmark, or the installed lm-eval has them elsewhere.
    """
    source = _SOURCES.get(benchmark)
    if source is None:
        raise PlatformError(
            f"benchmark {benchmark!r}: lm-eval ships no worked examples in its task files, only for "
            f"{', '.join(WORKED_EXAMPLES)}; use samples of a pool as targets instead"
        )
    tasks = Path(str(distribution("lm_eval").locate_file("lm_eval/tasks")))
    groups: dict[str, list[list[Message]]] = {}
    for path in sorted(tasks.glob(source.files)):
        task: dict[str, Any] = read_yaml(path)
        name = benchmark if benchmark == "gsm8k" else f"{benchmark}/{task['dataset_name']}"
        groups[name] = _conversations(task, source, path)
    if not groups:
        raise PlatformError(f"lm-eval {distribution('lm_eval').version} has no {source.files} among its tasks")
    return dict(sorted(groups.items()))


def _conversations(task: Mapping[str, Any], source: _Source, path: Path) -> list[list[Message]]:
    """The examples of a task file without duplicates, in order.

    Raises:
        PlatformError: the file has no examples.
    """
    examples = cast(dict[str, Any], task.get("fewshot_config") or {}).get("samples")
    if not isinstance(examples, list) or not examples:
        raise PlatformError(f"{path}: no worked examples under fewshot_config: samples")
    conversations = {
        (str(example[source.question]).strip(), str(example[source.answer]).strip()): None for example in examples
    }
    return [[Message("user", question), Message("assistant", answer)] for question, answer in conversations]


def write_targets(groups: Mapping[str, Sequence[Sequence[Message]]], path: Path) -> None:
    """Write target samples for `gradient_influence`: a row for each sample of each group.

    Args:
        groups: conversations in normal form, by name of the group.
        path: the Parquet file to write, with columns sample_id, messages, target; an existing file is replaced.
    """
    # Imported here because settings import this module, and the command line starts without pyarrow.
    import pyarrow as pa
    import pyarrow.parquet as pq

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("sample_id", pa.string()), ("messages", pa.list_(message)), ("target", pa.string())])
    rows = [
        {
            "sample_id": sample_id(messages),
            "messages": to_records(messages)[0],
            "target": target,
        }
        for target, conversations in groups.items()
        for messages in conversations
    ]
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema), temporary)
