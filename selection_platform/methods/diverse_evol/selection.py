"""DiverseEvol: a model says what it has not seen yet (arXiv 2311.08182).

It starts with a random draw. Each round then trains the base model on all selected samples, embeds the pool with the
trained model (mean of the last hidden states over prompt and answer), and adds the samples that greedy k-center finds
farthest from the selected ones. The last picks are not trained on: training on the selection is another job.

`published` does what the scripts of arXiv 2410.09335 do instead. Each round continues training the model of the
previous round, and takes its samples all at once (`farthest_at_once`). With 10,000 samples they also draw 1,000 and
then add 3 x 3,000.

Only one round's model and embeddings are on disk at a time; `published` also keeps the model of the previous round, or
with LoRA all adapters, each of which builds on the previous one.
"""

import gc
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from selection_platform.configuration.method_settings import DiverseEvolSettings
from selection_platform.configuration.settings import FineTuningSettings, PassSettings
from selection_platform.features.sample_embedding import EmbeddingSpec, embed, read_embeddings
from selection_platform.job.folder import (
    content_hash,
    file_hash,
    open_job_folder,
    read_manifest,
    whole_file,
    write_manifest,
)
from selection_platform.job.processes import first_process_first, gathered, is_first, wait_for_all
from selection_platform.job.progress import progress
from selection_platform.job.registry import Job
from selection_platform.job.shards import shard_files
from selection_platform.job.spec import FilePath, JobText, Spec
from selection_platform.job.versions import VERSIONS
from selection_platform.methods.diverse_evol.files import sorted_ids, write_picks, write_training_file
from selection_platform.methods.diverse_evol.k_center import farthest_at_once, farthest_first
from selection_platform.methods.diverse_evol.sizes import round_sizes
from selection_platform.models.provenance import model_identity
from selection_platform.models.renderers import text_identity
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune, recipe_identity
from selection_platform.training.loop import Precision

PICKS_FILE = "picks.parquet"


class DiverseEvolSpec(Spec):
    """One selection job.

    Attributes:
        base_model_folder: the model that is trained, and its tokenizer.
        samples_file: Parquet with `sample_id` (string, unique) and `messages` (list of `{role, content}`).
        budget: samples to select; all samples if there are fewer.
        diverse_evol: the random start, of at least one sample, and the rounds. The rest of the budget is split evenly
            over the rounds, with one more for earlier rounds. Its seed is used for the draw and for every training.
        recipe: recipe of the trainings.
        scoring: sizes of the embedding.
        dtype: number type of the trainings, and of the embedding model's weights.
        text: how conversations become text.
        published: whether to do as the scripts of arXiv 2410.09335.
    """

    base_model_folder: FilePath
    samples_file: FilePath
    budget: Annotated[int, Field(gt=0)]
    diverse_evol: DiverseEvolSettings
    recipe: FineTuningSettings
    scoring: PassSettings
    dtype: Precision
    text: JobText
    published: bool


@dataclass(frozen=True)
class _Round:
    """The result of one round.

    Attributes:
        rows: picked rows, in the order of picking. Row numbers refer to the pool in the order of sample ids.
        cover_radius: largest distance of a sample to the nearest selected one, including these picks, in this round's
            embedding. Models differ, so compare it between jobs rather than rounds.
        train_seconds: wall time of the training, in the run that finished it.
        embed_seconds: wall time of the embedding, likewise.
        pick_seconds: wall time of reading the embeddings and picking, likewise.
        cut_prompts: samples whose prompt was cut by the embedding's window.
        cut_answers: samples whose answer was cut.
        left_out: selected samples that the training left out, because no answer was left after the cut.
    """

    rows: list[int]
    cover_radius: float
    train_seconds: float
    embed_seconds: float
    pick_seconds: float
    # An earlier version did not count these.
    cut_prompts: int = 0
    cut_answers: int = 0
    left_out: int = 0


def select(spec: DiverseEvolSpec, folder: Path) -> Path:
    """Select samples; a run on a folder with part of the same job continues it in the same round.

    On a CPU this does not change the bytes of the picks. On a GPU, where sums have no fixed order, a repeated training
    may give another result. Several processes share the trainings and embeddings; the first one picks.

    Returns:
        `picks.parquet` in `folder`: `sample_id`; `position` (int64, from 1, in the order of picking); `round` (int32,
        0 is the random start). The manifest beside it describes each round, as in `_Round`.

    Raises:
        UnsupportedModel: as `check_model` says.
        NotFinite: a training diverged, or a model gave NaN or infinity for a sample.
        PlatformError: the sizes do not fit the model, or there are no samples, or their ids repeat.
    """
    with first_process_first():
        complete = open_job_folder(folder, _identity(spec))
    if not complete:
        _run(spec, folder)
    if is_first():
        for work in folder.glob("round-*"):
            _remove(work)
    return _result(folder)


def _result(folder: Path) -> Path:
    return folder / PICKS_FILE


def _identity(spec: DiverseEvolSpec) -> dict[str, Any]:
    """What the picks depend on: contents, not paths."""
    recipe = recipe_identity(_training(spec, Path(), Path()))
    # The seed is part of the whole job.
    recipe.pop("seed")
    return {
        "job": "diverse_evol",
        "code_versions": [VERSIONS[name] for name in ("diverse_evol", "fine_tuning", "sample_embedding")],
        "template": text_identity(Path(spec.base_model_folder), spec.text),
        "model": model_identity(Path(spec.base_model_folder)),
        "samples": file_hash(Path(spec.samples_file)),
        **spec.content("recipe"),
        "recipe": recipe,
    }


def _run(spec: DiverseEvolSpec, folder: Path) -> None:
    """Do the rest of a job, and declare it complete."""
    sample_ids = sorted_ids(Path(spec.samples_file))
    budget = min(spec.budget, len(sample_ids))
    start, *adds = round_sizes(budget, spec.diverse_evol.initial_share, spec.diverse_evol.rounds)
    draw = np.random.default_rng(spec.diverse_evol.seed).choice(len(sample_ids), start, replace=False)
    chosen = [draw.tolist()]
    rounds: list[_Round] = []
    with progress("DiverseEvol", len(adds), "rounds") as counter:
        for number, count in enumerate(adds, start=1):
            selected = [row for rows in chosen for row in rows]
            rounds.append(_round(spec, folder, number, sample_ids, selected, count))
            if is_first():
                _remove_what_is_done(spec, folder, number)
            chosen.append(rounds[-1].rows)
            counter.advance()
    if is_first():
        _finish(folder, sample_ids, chosen, rounds)
    wait_for_all()


def _finish(folder: Path, sample_ids: Sequence[str], chosen: Sequence[list[int]], rounds: Sequence[_Round]) -> None:
    """Write the picks, and declare the job complete."""
    write_picks(sample_ids, chosen, folder / PICKS_FILE)
    start, *adds = chosen
    summary = {
        "samples": len(sample_ids),
        "selected": len(start) + sum(map(len, adds)),
        "start": len(start),
        "rounds": [{key: value for key, value in asdict(result).items() if key != "rows"} for result in rounds],
        "seconds": sum(result.train_seconds + result.embed_seconds + result.pick_seconds for result in rounds),
    }
    manifest = {"summary": summary, "content_hash": content_hash([file_hash(folder / PICKS_FILE)])}
    write_manifest(folder, manifest, temporary=[path.name for path in folder.glob("round-*")])


def _round(
    spec: DiverseEvolSpec, folder: Path, number: int, sample_ids: Sequence[str], selected: list[int], count: int
) -> _Round:
    """Train, embed and pick, or read what an earlier run picked."""
    picked_file = folder / f"round-{number}.json"
    if gathered(picked_file.exists())[0]:
        return _Round(**json.loads(picked_file.read_text()))
    work = folder / f"round-{number}"
    times = [time.monotonic()]
    train_file = work / "train.parquet"
    if is_first():
        write_training_file(Path(spec.samples_file), [sample_ids[row] for row in selected], train_file)
    wait_for_all()
    before = folder / f"round-{number - 1}" / "model"
    continues = spec.published and number > 1
    base = before if continues else Path(spec.base_model_folder)
    fine_tune(_training(spec, base, train_file), work / "model", is_round=True)
    # The first process writes the model.
    wait_for_all()
    _free_memory()
    times.append(time.monotonic())
    embedded = embed(_embedding(spec, work / "model"), work / "embedding")
    _free_memory()
    times.append(time.monotonic())
    if is_first():
        _, embeddings = read_embeddings(shard_files(work / "embedding"), work / "embeddings.npy")
        rows, radius = _pick(embeddings, np.array(selected), count, published=spec.published)
        times.append(time.monotonic())
        result = _Round(
            rows.tolist(),
            radius,
            *np.diff(times).tolist(),
            cut_prompts=embedded.cut_prompts,
            cut_answers=embedded.truncated,
            left_out=(read_manifest(work / "model") or {})["dropped_rows"],
        )
        with whole_file(picked_file) as temporary:
            temporary.write_text(json.dumps(asdict(result)) + "\n")
    wait_for_all()
    return _Round(**json.loads(picked_file.read_text()))


def _pick(
    embeddings: NDArray[np.float32], selected: NDArray[np.int64], count: int, *, published: bool
) -> tuple[NDArray[np.int64], float]:
    """Rows to add, in order, and the cover radius with them."""
    if not published:
        cover = farthest_first(embeddings, selected, count)
        return cover.rows, cover.radius
    rows = farthest_at_once(embeddings, selected, count)
    return rows, farthest_first(embeddings, np.concatenate([selected, rows]), 0).radius


def _training(spec: DiverseEvolSpec, base: Path, train_file: Path) -> FineTuningSpec:
    return FineTuningSpec(
        base_model_folder=str(base),
        train_file=str(train_file),
        recipe=spec.recipe,
        text=spec.text,
        seed=spec.diverse_evol.seed,
        precision=spec.dtype,
    )


def _embedding(spec: DiverseEvolSpec, model: Path) -> EmbeddingSpec:
    return EmbeddingSpec(
        model_folder=str(model),
        samples_file=spec.samples_file,
        scoring=spec.scoring,
        dtype=spec.dtype,
        text=spec.text,
    )


def _remove_what_is_done(spec: DiverseEvolSpec, folder: Path, number: int) -> None:
    """Delete files that no later round needs, after a round's picks are written."""
    work = folder / f"round-{number}"
    if not spec.published:
        _remove(work)
        return
    _remove(work / "embedding")
    _remove(work / "embeddings.npy")
    # A LoRA adapter builds on that of the previous round.
    if spec.recipe.lora is None:
        _remove(folder / f"round-{number - 1}")


def _remove(path: Path) -> None:
    """Delete a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _free_memory() -> None:
    """Free a model that is no longer used: Trainer's objects refer to each other, and torch keeps GPU memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


DIVERSE_EVOL = Job("diverse_evol", select, DiverseEvolSpec, _identity, _result, several_processes=True)
