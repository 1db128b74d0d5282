"""Checks of `gpu_first_run` on whole jobs of a small model: the same numbers as on a CPU, and the same bytes again."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from benchmarks.gpu_check import Line, Trial
from selection_platform.configuration.encoder_settings import EncoderSettings
from selection_platform.configuration.method_settings import WarmUpLoraSettings, WarmUpSettings
from selection_platform.configuration.settings import (
    FineTuningSettings,
    LoraSettings,
    PretrainingSettings,
    ScoringSettings,
)
from selection_platform.configuration.text_settings import PAPER
from selection_platform.features.answer_likelihood import LikelihoodSpec, score
from selection_platform.features.sample_embedding import EmbeddingSpec, embed
from selection_platform.features.sentence_embedding import SentenceSpec, embed_sentences
from selection_platform.job.folder import file_hash
from selection_platform.job.shards import CUT_FILE, SHARDS
from selection_platform.methods.less.gradient_influence import InfluenceSpec, measure
from selection_platform.methods.selectit.rating_probability import RatingSpec, rate
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune
from selection_platform.training.pretraining import PretrainingSpec, pretrain
from tests.sentence_encoders import WORDS, save_encoder

SAMPLES, PER_SHARD = 60, 20
MOST_DIFFERENT = {"float32": 1e-4, "bfloat16": 3e-2}
"""Of a number on the GPU from that on the CPU, as a share of the column's largest."""
MOST_NOISE = 0.005
"""Of IFD in another batching, as a share of its spread. On a CPU it is 0.0006."""

Job = Callable[[Any, Path], object]


class Material(NamedTuple):
    """What the jobs read: a small model, its warm-up, a sentence encoder, samples, and target samples."""

    model: Path
    warmup: Path
    encoder: Path
    samples: Path
    targets: Path


def write_conversations(path: Path, rows: int, **columns: list[Any]) -> Path:
    """Random conversations of one turn, whose answers repeat words of their prompts, and other columns."""
    generator = np.random.default_rng(rows)
    messages: list[list[dict[str, str]]] = []
    for _ in range(rows):
        prompt = generator.choice(WORDS[4:], generator.integers(3, 60))
        answer = generator.choice(prompt[:3], generator.integers(2, 90))
        messages.append(
            [{"role": "user", "content": " ".join(prompt)}, {"role": "assistant", "content": " ".join(answer)}]
        )
    ids = [f"{row:032x}" for row in range(rows)]
    pq.write_table(pa.table({"sample_id": ids, "messages": messages, **columns}), path)
    return path


def made_material(trial: Trial) -> Material:
    """The material, made once."""
    folder = trial.folder / "material"
    found = Material(*(folder / name for name in ("model", "warmup", "encoder", "samples.parquet", "targets.parquet")))
    if found.targets.exists():
        return found
    shutil.rmtree(folder, ignore_errors=True)
    found.encoder.mkdir(parents=True)
    save_encoder(found.encoder)
    # Steps: until IFD differs between samples. Heads are 64 wide, as kernels on a GPU want them.
    tiny = {"steps": 40, "hidden_size": 128, "intermediate_size": 256, "layers": 2, "heads": 2}
    larger = {"steps": 150, "hidden_size": 256, "intermediate_size": 688, "layers": 4, "heads": 4}
    text = write_conversations(folder / "pretraining.parquet", 300)
    settings = PretrainingSettings(batch=4, vocab_size=512, context=512, **(tiny if trial.tiny else larger))
    pretrain(PretrainingSpec(train_file=str(text), pretraining=settings, precision="float32"), found.model)
    lora = WarmUpLoraSettings(rank=8, alpha=16)
    recipe = WarmUpSettings(epochs=2, learning_rate=1e-3, global_batch=8, max_length=256, lora=lora)
    fine_tune(training_spec(found.model, folder, 32, recipe, "float32", keep_epochs=True), found.warmup)
    write_conversations(found.samples, SAMPLES)
    write_conversations(found.targets, 8, target=["a", "b"] * 4)
    return found


def training_spec(
    model: Path, folder: Path, rows: int, recipe: FineTuningSettings, precision: Any, *, keep_epochs: bool = False
) -> FineTuningSpec:
    """A training on so many conversations, which are written into the folder."""
    file = write_conversations(folder / f"training-{rows}.parquet", rows, position=list(range(rows)))
    return FineTuningSpec(
        base_model_folder=str(model), train_file=str(file), recipe=recipe, text=PAPER, seed=0, precision=precision,
        keep_epochs=keep_epochs,
    )  # fmt: skip


def scoring_jobs(material: Material, dtype: str) -> dict[str, Callable[[Path], object]]:
    """All scoring jobs by name; each takes the folder that it writes into."""
    scoring = ScoringSettings(max_length=512, tokens_per_batch=2048, logit_rows=256, samples_per_shard=PER_SHARD)
    common: dict[str, Any] = {"samples_file": str(material.samples), "dtype": dtype, "text": PAPER}
    of_model = common | {"model_folder": str(material.model), "scoring": scoring}
    more: dict[str, Any] = {"prompt_embedding": True, "weighted_embedding": True, "prompt_effect": True}
    encoder = EncoderSettings(max_length=20, tokens_per_batch=256, samples_per_shard=PER_SHARD)
    of_encoder = common | {"encoder_folder": str(material.encoder), "scoring": encoder.sizes}
    of_targets = common | {"targets_file": str(material.targets), "scoring": scoring}
    of_targets |= {"warmup_folder": str(material.warmup), "directions": ("adam", "published")}
    jobs: dict[str, tuple[Job, Any]] = {
        "likelihood": (score, LikelihoodSpec(**of_model | more)),
        "embedding": (embed, EmbeddingSpec(**of_model, weighted=True)),
        "sentence embedding": (embed_sentences, SentenceSpec(**of_encoder)),
        "rating": (rate, RatingSpec(**of_model)),
        "influence": (measure, InfluenceSpec(**of_targets)),
    }
    return {name: partial(job, spec) for name, (job, spec) in jobs.items()}


@contextmanager
def without_gpu() -> Iterator[None]:
    """Within the block, scoring jobs run on the CPU: by this alone the library decides where a model goes."""
    with patch.object(torch.cuda, "is_available", return_value=False):
        yield


def numbers_of(folder: Path) -> dict[str, NDArray[np.float64]]:
    """All numbers of a job's files by column, in the order of its shards; NaN for a missing one."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for path in sorted(folder.glob("*-*.parquet")):
        table = pq.read_table(path)
        for name in table.column_names:
            column: Any = table[name].combine_chunks()
            flat = column.flatten() if pa.types.is_nested(column.type) else column
            if not pa.types.is_string(flat.type):
                numbers = flat.cast("float64").to_numpy(zero_copy_only=False)
                found.setdefault(name, []).append(np.asarray(numbers, dtype=np.float64))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def largest_difference(one: Path, other: Path) -> float:
    """Of two jobs' numbers, as a share of the column's largest; infinite if they have other rows or gaps."""
    here, there = numbers_of(one), numbers_of(other)
    if here.keys() != there.keys():
        return np.inf
    worst = 0.0
    for name, column in here.items():
        gaps = np.isnan(column)
        if column.shape != there[name].shape or (gaps != np.isnan(there[name])).any():
            return np.inf
        difference = np.abs(column - there[name])[~gaps].max(initial=0)
        worst = max(worst, float(difference / max(np.abs(column)[~gaps].max(initial=0), 1e-30)))
    return worst


def same_numbers(trial: Trial) -> Iterator[Line]:
    """Every scoring job on the CPU and on the GPU."""
    material = made_material(trial)
    for dtype, most in MOST_DIFFERENT.items():
        for name, job in scoring_jobs(material, dtype).items():
            here, there = (trial.folder / f"{place}-{dtype}-{name}" for place in ("cpu", trial.device + "-again"))
            with without_gpu():
                job(here)
            job(there)
            found = largest_difference(here, there)
            yield Line(f"same numbers as on a CPU: {name}, {dtype}", f"<= {most:.0e}", f"{found:.1e}", found <= most)


def killed_copy(folder: Path, into: Path) -> Path:
    """What a job leaves that was killed after its first shard; the shard's path."""
    into.mkdir()
    for name in ("job.json", CUT_FILE):
        shutil.copy(folder / name, into)
    for path in folder.glob("*-00000.parquet"):
        shutil.copy(path, into)
    return next(into.glob(SHARDS))


def same_bytes(trial: Trial) -> Iterator[Line]:
    """Every scoring job twice, and once more from where a killed one would go on."""
    for name, job in scoring_jobs(made_material(trial), "bfloat16").items():
        folders = [trial.folder / f"{time}-{name}" for time in ("first", "second", "killed")]
        for folder in folders[:2]:
            job(folder)
        shard = killed_copy(folders[0], folders[2])
        before = shard.stat().st_ino
        job(folders[2])
        hashes = [{path.name: file_hash(path) for path in folder.glob("*-*.parquet")} for folder in folders]
        equal = hashes[0] == hashes[1] == hashes[2]
        measured = "equal"
        if not equal:
            most = max(largest_difference(folders[0], each) for each in folders[1:])
            measured = f"OTHER, by {most:.1e} of the largest"
        # On a GPU, the backward pass of flash attention adds up in any order.
        promised = name != "influence" or trial.tiny
        title = f"twice, and after a kill: {name}"
        yield Line(title, "equal bytes" if promised else "may differ", measured, equal if promised else None)
        resumed = shard.stat().st_ino == before
        yield Line(f"{title}: first shard", "kept", "kept" if resumed else "COMPUTED AGAIN", resumed)


def ifd_of(folder: Path) -> NDArray[np.float64]:
    """IFD of each sample in the order of ids, as in `sql/40_scores/ifd.sql`: there is no DuckDB here."""
    table = pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob(SHARDS))).sort_by("sample_id")
    mean = {
        side: table[f"{side}_nll"].to_numpy() / table[f"{side}_tokens"].to_numpy()
        for side in ("answer", "direct_answer")
    }
    return mean["answer"] / mean["direct_answer"]


def another_batching(trial: Trial) -> Iterator[Line]:
    """IFD in bfloat16, by batches and shards of other sizes."""
    material, found = made_material(trial), []
    files: dict[str, Any] = {"model_folder": str(material.model), "samples_file": str(material.samples)}
    for tokens, per_shard in ((2048, SAMPLES), (600, 13)):
        sizes = ScoringSettings(max_length=512, tokens_per_batch=tokens, samples_per_shard=per_shard, logit_rows=256)
        score(LikelihoodSpec(**files, scoring=sizes, dtype="bfloat16", text=PAPER), trial.folder / f"batches-{tokens}")
        found.append(ifd_of(trial.folder / f"batches-{tokens}"))
    noise = float(np.std(found[0] - found[1]) / np.std(found[0]))
    yield Line("IFD in another batching, noise / spread", f"<= {MOST_NOISE}", f"{noise:.5f}", noise <= MOST_NOISE)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within the block, torch uses deterministic algorithms where it has them, and else warns."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def training_twice(trial: Trial) -> Iterator[Line]:
    """Full fine-tuning and LoRA, twice each: as they are, and with torch's deterministic algorithms."""
    material = made_material(trial)
    sizes: dict[str, Any] = {"epochs": 2, "learning_rate": 1e-3, "global_batch": 16, "max_length": 256}
    for name, lora in (("full", None), ("LoRA", LoraSettings(rank=8, dropout=0.1))):
        spec = training_spec(material.model, trial.folder, 64, FineTuningSettings(**sizes, lora=lora), "bfloat16")
        for fixed in (False, True):
            how = "deterministic" if fixed else "as it is"
            with deterministic(fixed):
                folders = [trial.folder / f"{name}-{how}-{time}" for time in range(2)]
                hashes = [fine_tune(spec, folder)["weights_hash"] for folder in folders]
            equal = hashes[0] == hashes[1]
            # Without deterministic algorithms a GPU adds up in any order: nothing is promised there.
            promised = fixed or trial.tiny
            yield Line(
                f"trained twice: {name}, {how}", "equal weights" if promised else "may differ",
                "equal" if equal else "OTHER", equal if promised else None,
            )  # fmt: skip
