"""Rebuild 24 of the 27 BIG-Bench Hard subsets from BIG-bench's own task files.

    python tools/rebuild_bbh.py bigbench-1.0.0.tar.gz selection_platform/evaluation/bbh

The input is the source distribution of `bigbench` 1.0.0 (358 MB; only its task.json files are read, nothing is
installed or run). BIG-Bench Hard (Suzgun et al. 2022, arXiv 2210.09261) is a selection of BIG-bench tasks rewritten to
one form, `{"input": ..., "target": ...}`. The rows here have that form, but are another sample of the same tasks with
freshly shuffled options, so they are "BBH-rebuilt" and scores on them are not BBH scores.

Missing: boolean_expressions, multistep_arithmetic_two and web_of_lies, which BIG-bench generates in code.
Left out, as in BBH: the three worked examples of each subset's chain-of-thought prompt, read from the installed
lm-eval, which would otherwise be asked with their answers in sight. The output depends on these two inputs alone:
every subset is sampled and shuffled from seed 0.
"""

import argparse
import json
import logging
import re
import tarfile
from collections.abc import Callable, Collection
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, NamedTuple

import yaml

logger = logging.getLogger("rebuild_bbh")

ROWS_PER_SUBSET = 250
SEED = 0

Example = dict[str, Any]


class Item(NamedTuple):
    """One BBH row: the question as it is asked, and the answer that counts as right."""

    input: str
    target: str


Build = Callable[[Example, str, Random], Item]
"""Makes an item of a BIG-bench example, given the task's own prefix and the subset's random stream."""


def right_choice(example: Example) -> str:
    """The choice with the highest target score."""
    scores: dict[str, float] = example["target_scores"]
    return max(scores, key=lambda choice: scores[choice])


def lettered(question: str, choices: list[str], answer: str) -> Item:
    """An item whose options are (A), (B), ... in the given order."""
    lines = [f"({chr(ord('A') + index)}) {choice}" for index, choice in enumerate(choices)]
    return Item("\n".join([question, "Options:", *lines]), f"({chr(ord('A') + choices.index(answer))})")


def dashed(question: str, choices: tuple[str, str], answer: str) -> Item:
    """An item that is answered with one of two words."""
    return Item(f"{question}\nOptions:\n- {choices[0]}\n- {choices[1]}", answer)


def multiple_choice(lead: str = "") -> Build:
    """Lettered options in a fresh random order, the question preceded by `lead`.

    Where BIG-bench counts several choices as right (a circle is also an ellipse), only the first is offered.
    """

    def build(example: Example, _prefix: str, random: Random) -> Item:
        answer = right_choice(example)
        scores = example["target_scores"]
        choices = [choice for choice in scores if choice == answer or scores[choice] < scores[answer]]
        random.shuffle(choices)
        return lettered(lead + example["input"], choices, answer)

    return build


def multiple_choice_with_prefix(example: Example, prefix: str, random: Random) -> Item:
    """As `multiple_choice`, led by the task's own prefix."""
    return multiple_choice(f"{prefix.strip()}\n")(example, prefix, random)


def causal_judgement(example: Example, prefix: str, _random: Random) -> Item:
    """Yes or no."""
    return dashed(f"{prefix.strip()}\n{example['input']}", ("Yes", "No"), right_choice(example))


def formal_fallacies(example: Example, _prefix: str, _random: Random) -> Item:
    """Valid or invalid; BBH writes the first option with a trailing space."""
    return dashed(example["input"], ("valid ", "invalid"), right_choice(example))


def navigate(example: Example, prefix: str, _random: Random) -> Item:
    """Yes or no, which BIG-bench calls True and False."""
    answer = "Yes" if right_choice(example) == "True" else "No"
    return dashed(f"{prefix} {example['input']}", ("Yes", "No"), answer)


def two_quoted(example: Example, _prefix: str, _random: Random) -> Item:
    """Hyperbaton: two sentences that stand in the question in quotation marks, in their own order."""
    first, second = (sentence.strip() for sentence in re.findall(r'" (.*?) "', example["input"]))
    answer = first if right_choice(example) == "a" else second
    return lettered("Which sentence has the correct adjective order:", [first, second], answer)


def two_marked(example: Example, _prefix: str, _random: Random) -> Item:
    """Snarks: two statements that stand in the question after (a) and (b), in their own order."""
    first, second = (statement.strip() for statement in re.split(r"\([ab]\)", example["input"])[1:])
    answer = first if right_choice(example) == "(a)" else second
    return lettered("Which statement is sarcastic?", [first, second], answer)


def coloured_objects(example: Example, _prefix: str, _random: Random) -> Item:
    """Options in their natural order; BIG-bench lists each number in digits as well, which BBH leaves out."""
    scores = {choice: score for choice, score in example["target_scores"].items() if not choice.isdigit()}
    return lettered(example["input"], list(scores), right_choice({"target_scores": scores}))


def dyck_languages(example: Example, prefix: str, _random: Random) -> Item:
    """The closing brackets, written out."""
    return Item(f"{prefix.strip()} Input: {example['input']}", right_choice(example))


def object_counting(example: Example, _prefix: str, _random: Random) -> Item:
    """The count in digits; BIG-bench also lists it as a word, first."""
    return Item(example["input"], example["target"][-1])


def sports_understanding(example: Example, _prefix: str, _random: Random) -> Item:
    """Yes or no, in lower case as in BBH."""
    answer = "yes" if right_choice(example) == "plausible" else "no"
    return Item(f'Is the following sentence plausible? "{example["input"]}"', answer)


def word_sorting(example: Example, prefix: str, _random: Random) -> Item:
    """The words in order, separated by spaces."""
    target = example["target"]
    return Item(f"{prefix.strip()} List: {example['input']}", target if isinstance(target, str) else target[0])


AMBIGUOUS_PRONOUN = (
    "In the following sentences, explain the antecedent of the pronoun (which thing the pronoun refers to), "
    "or state that it is ambiguous.\nSentence: "
)

SUBSETS: dict[str, tuple[str, Build]] = {
    "causal_judgement": ("causal_judgment", causal_judgement),
    "date_understanding": ("date_understanding", multiple_choice()),
    "disambiguation_qa": ("disambiguation_qa", multiple_choice(AMBIGUOUS_PRONOUN)),
    "dyck_languages": ("dyck_languages", dyck_languages),
    "formal_fallacies": ("formal_fallacies_syllogisms_negation", formal_fallacies),
    "geometric_shapes": ("geometric_shapes", multiple_choice()),
    "hyperbaton": ("hyperbaton", two_quoted),
    "logical_deduction_five_objects": ("logical_deduction/five_objects", multiple_choice_with_prefix),
    "logical_deduction_seven_objects": ("logical_deduction/seven_objects", multiple_choice_with_prefix),
    "logical_deduction_three_objects": ("logical_deduction/three_objects", multiple_choice_with_prefix),
    "movie_recommendation": ("movie_recommendation", multiple_choice("Find a movie similar to ")),
    "navigate": ("navigate", navigate),
    "object_counting": ("object_counting", object_counting),
    "penguins_in_a_table": ("penguins_in_a_table", multiple_choice_with_prefix),
    "reasoning_about_colored_objects": ("reasoning_about_colored_objects", coloured_objects),
    "ruin_names": ("ruin_names", multiple_choice()),
    "salient_translation_error_detection": ("salient_translation_error_detection", multiple_choice_with_prefix),
    "snarks": ("snarks", two_marked),
    "sports_understanding": ("sports_understanding", sports_understanding),
    "temporal_sequences": ("temporal_sequences", multiple_choice()),
    "tracking_shuffled_objects_five_objects": ("tracking_shuffled_objects/five_objects", multiple_choice()),
    "tracking_shuffled_objects_seven_objects": ("tracking_shuffled_objects/seven_objects", multiple_choice()),
    "tracking_shuffled_objects_three_objects": ("tracking_shuffled_objects/three_objects", multiple_choice()),
    "word_sorting": ("word_sorting", word_sorting),
}
"""BBH subset -> the BIG-bench task it comes from, and how its rows are made."""


def read_tasks(archive: Path, wanted: set[str]) -> dict[str, dict[str, Any]]:
    """The wanted task.json files of the archive, by task path; the archive is streamed once."""
    tasks: dict[str, dict[str, Any]] = {}
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            path = PurePosixPath(member.name)
            task = "/".join(path.parts[3:-1])
            if path.name == "task.json" and task in wanted and (file := members.extractfile(member)):
                tasks[task] = json.load(file)
    if missing := wanted - tasks.keys():
        raise ValueError(f"{archive}: no task.json for {', '.join(sorted(missing))}; is this bigbench 1.0.0?")
    return tasks


def essence(question: str) -> tuple[str, frozenset[str]]:
    """What a question asks, whatever its spacing, quotes and full stops, and the order of its options."""
    stem, *options = (
        " ".join(re.sub(r"[.,\"'\u2018-\u201d]", "", part).split())
        for part in re.split(r"\n(?:Options:\n)?(?:\([A-Z]\)|-) ", question)
    )
    return stem, frozenset(options)


def worked_examples(subset: str) -> set[tuple[str, frozenset[str]]]:
    """The questions that lm-eval's chain-of-thought prompt of the subset answers."""
    file = Path(str(distribution("lm_eval").locate_file(f"lm_eval/tasks/bbh/cot_fewshot/{subset}.yaml")))
    task = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {essence(sample["input"]) for sample in task["fewshot_config"]["samples"]}


def rebuild(task: dict[str, Any], build: Build, shown: Collection[tuple[str, frozenset[str]]]) -> list[Item]:
    """A seed-0 sample of the task's distinct items that are not shown, at most ROWS_PER_SUBSET."""
    random = Random(SEED)
    prefix = task.get("task_prefix") or ""
    shuffled = random.sample(task["examples"], len(task["examples"]))
    items: list[Item] = []
    for example in shuffled:
        built = build(example, prefix, random)
        item = Item(built.input.strip(), built.target)
        if item not in items and essence(item.input) not in shown:
            items.append(item)
        if len(items) == ROWS_PER_SUBSET:
            break
    return items


def main() -> None:
    """Write one JSON Lines file per subset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("archive", type=Path, help="the bigbench 1.0.0 source distribution (.tar.gz)")
    parser.add_argument("folder", type=Path, help="where the subsets go")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tasks = read_tasks(arguments.archive, {path for path, _ in SUBSETS.values()})
    rows = 0
    for name, (path, build) in SUBSETS.items():
        items = rebuild(tasks[path], build, worked_examples(name))
        lines = [json.dumps(item._asdict(), ensure_ascii=False) + "\n" for item in items]
        (arguments.folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        rows += len(items)
    logger.info("%d subsets, %d rows", len(SUBSETS), rows)


if __name__ == "__main__":
    main()
