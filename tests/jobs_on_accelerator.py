"""Every job but training, on the CPU and then on the pretend accelerator.

    python -m tests.jobs_on_accelerator FOLDER [FAULT]

Prints one line of JSON for each job: its name, batches, waits for the accelerator by line, and the largest difference
of its numbers, relative where they are above 1. A second argument names a fault to plant before.
"""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from lm_eval.api.instance import Instance

from selection_platform.evaluation.chat_model import ChatModel
from selection_platform.evaluation.engine import TransformersEngine
from selection_platform.evaluation.held_out_loss import METRIC, held_out_loss
from selection_platform.features import answer_likelihood, sample_embedding, sentence_embedding
from selection_platform.methods.diverse_evol.k_center_search import Pool, Search
from selection_platform.methods.less.adam_direction import Direction, prepare_moments
from selection_platform.methods.less.influence_pass import batch_influence
from selection_platform.methods.less.sample_gradients import SampleGradients
from selection_platform.methods.less.target_gradients import Targets, target_vectors
from selection_platform.methods.less.warmed_up import WarmedUp
from selection_platform.methods.selectit import rating_probability
from selection_platform.models import forward_pass
from selection_platform.models.loading import load_model
from selection_platform.models.sentence_encoder import load_encoder
from tests.features.test_sentence_embedding import spec_of
from tests.sentence_encoders import save_encoder
from tests.specs import made
from tests.tiny import CONFIGS, paper, random_samples, save_model, write_samples

FAULTS: dict[str, tuple[ModuleType, str, str, str]] = {
    "left on the CPU": (forward_pass, "mean_hidden", ".to(hidden.device)", ""),
    "brought back": (forward_pass, "mean_hidden", "hidden.masked_fill_", "hidden.cpu().masked_fill_"),
    "wait in a loop": (forward_pass, "weighted_hidden", "@ hidden[row", "* float(weight.sum() > 0) @ hidden[row"),
}
"""By name: a module, its function, and text in it with what replaces it."""

BOTH: tuple[Direction, ...] = ("adam", "published")


def plant(module: ModuleType, function: str, text: str, instead: str) -> None:
    source = inspect.getsource(getattr(module, function))
    assert source.count(text) == 1
    exec(compile(source.replace(text, instead), str(module.__file__), "exec"), vars(module))


class Jobs:
    """The jobs, each of which gives its numbers; models and encoder go to a device before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        save_model(folder / "model", CONFIGS["llama"])
        self.samples = random_samples(24)
        write_samples(folder / "samples.parquet", self.samples)
        self.model, self.tokenizer = load_model(folder / "model", "float32", "cpu")
        (folder / "sentences").mkdir()
        self.encoder = load_encoder(save_encoder(folder / "encoder"), 10)
        self.moments = {
            name: torch.rand(2, *layer.weight.shape) for name, layer in self._layers().items()
        }  # fmt: skip
        self.batches = 0
        self.model.get_decoder().register_forward_hook(self._count)
        self.encoder.model.register_forward_hook(self._count)
        for module in (answer_likelihood, sample_embedding, rating_probability):
            setattr(module, "load_checked", lambda *_: (self.model, self.tokenizer))  # noqa: B010
        setattr(sentence_embedding, "load_encoder", lambda *_: self.encoder)  # noqa: B010

    def _count(self, *_: Any) -> None:
        self.batches += 1

    def _layers(self) -> dict[str, torch.nn.Linear]:
        found = self.model.requires_grad_(False).named_modules()
        return {name: each for name, each in found if isinstance(each, torch.nn.Linear) and "q_proj" in name}

    def to(self, device: str) -> None:
        self.device = device
        self.model.to(device)  # pyright: ignore[reportArgumentType]
        self.encoder.model.to(device)  # pyright: ignore[reportArgumentType]

    def _scored(self, job: Callable[..., Any], spec_type: Any, **more: Any) -> np.ndarray:
        sizes = {"max_length": 100, "tokens_per_batch": 512, "samples_per_shard": 12, **more}
        files = {"model_folder": str(self.folder / "model"), "samples_file": str(self.folder / "samples.parquet")}
        return self._run(job, made(spec_type, **files, **sizes))

    def _run(self, job: Callable[..., Any], spec: Any) -> np.ndarray:
        out = self.folder / f"{job.__name__}-{self.device}"
        job(spec, out)
        tables = [pq.read_table(path) for path in sorted(out.glob("*-*.parquet"))]
        columns = [column.combine_chunks() for table in tables for column in table.drop_columns("sample_id").columns]
        flat = [column.flatten() if hasattr(column, "flatten") else column for column in columns]
        return np.concatenate([column.cast("float64").fill_null(0).to_numpy(zero_copy_only=False) for column in flat])

    def answer_likelihood(self) -> np.ndarray:
        more = {"prompt_embedding": True, "weighted_embedding": True, "prompt_effect": True, "logit_rows": 64}
        return self._scored(answer_likelihood.score, answer_likelihood.LikelihoodSpec, **more)

    def sample_embedding(self) -> np.ndarray:
        return self._scored(sample_embedding.embed, sample_embedding.EmbeddingSpec, weighted=True)

    def rating_probability(self) -> np.ndarray:
        return self._scored(rating_probability.rate, rating_probability.RatingSpec, max_length=200)

    def sentence_embedding(self) -> np.ndarray:
        return self._run(
            sentence_embedding.embed_sentences, spec_of(self.folder / "sentences", self.folder / "encoder")
        )

    def gradient_influence(self) -> np.ndarray:
        moments = {
            name: prepare_moments(pair.to(self.device)[0], pair.to(self.device)[1], 3, (0.9, 0.999), 1e-8, BOTH)
            for name, pair in self.moments.items()
        }
        gradients = SampleGradients(self.model, self._layers(), logit_rows=16)
        plan = answer_likelihood.make_plan(
            self.folder / "samples.parquet", paper(self.tokenizer), 100, "answer_end", self.folder, with_end=True
        )
        share = np.full((len(plan.sample_id), 1), 1 / len(plan.sample_id), dtype=np.float32)
        vectors = target_vectors(gradients, Targets(["all"], plan, share, 0), 512, "tiny")
        rows = [plan.joint(index) for index in range(8)]
        warmed_up, prompts = WarmedUp(gradients, moments), plan.prompt_tokens[:8]
        return batch_influence(warmed_up, vectors, BOTH, rows, prompts).reshape(-1)

    def held_out_loss(self) -> np.ndarray:
        loss = held_out_loss(self.model, paper(self.tokenizer), list(self.samples.items()), 512, 100)
        return loss.items[METRIC].to_numpy()

    def evaluation(self) -> np.ndarray:
        renderer = paper(self.tokenizer)
        chat = ChatModel(TransformersEngine(self.model, renderer, 4), renderer)
        texts = [chat.apply_chat_template([{"role": "user", "content": "word " * count}]) for count in (1, 7, 3)]
        settings = {"max_gen_toks": 6, "until": ["zzz"]}
        answers = chat.generate_until([Instance("generate_until", {}, (text, settings), 0) for text in texts])
        asked = [Instance("loglikelihood", {}, (text, "the hat"), 0) for text in texts]
        return np.array([*(hash(each) % 1000 for each in answers), *(each[0] for each in chat.loglikelihood(asked))])

    def k_center(self) -> np.ndarray:
        rows = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
        search = Search(Pool(rows, self.device), np.array([3, 5]), front_size=64)
        list(search.pick(20))
        self.batches = len(search.picks)
        return np.array(search.picks, dtype=np.float64)


NAMES = (
    "answer_likelihood", "sample_embedding", "rating_probability", "sentence_embedding", "gradient_influence",
    "held_out_loss", "evaluation", "k_center",
)  # fmt: skip


def main() -> None:
    """Run all jobs, or the first alone with a fault planted."""
    folder, *fault = sys.argv[1:]
    jobs = Jobs(Path(folder))
    # Not before: models are loaded wrongly where there is an accelerator that transformers does not know.
    # Not later: torch makes ready for backward passes on all devices at the first.
    from tests.pretend_accelerator import DEVICE, WAITS

    jobs.to("cpu")
    names = NAMES[:1] if fault else NAMES
    expected = {name: getattr(jobs, name)() for name in names}
    for each in fault:
        plant(*FAULTS[each])
    jobs.to(DEVICE)
    for name in names:
        jobs.batches = 0
        WAITS.clear()
        found = getattr(jobs, name)()
        difference = float((np.abs(found - expected[name]) / np.maximum(1, np.abs(found))).max())
        facts = {"job": name, "batches": jobs.batches, "waits": WAITS, "difference": difference}
        sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
