"""How much faster LESS is without single passes and projections, and without a store of gradients.

Run by hand:

    python -m benchmarks.less --hidden 256 --layers 4 --vocab 8192 --rows 96 --tokens 200

The published scripts run one sample at a time through the model with all its logits, make one flat vector of the
adapter's gradient, turn it into Adam's direction, project sixteen of them at a time to 8,192 dimensions with random
signs, write the projections, and multiply those of the pool with those of the targets. Here they are in our own words,
on the same model and rows, for one epoch of a warm-up. Signs are made block by block, as the published fallback
projector does; its CUDA projector makes them inside the product, so the ratio is given without their time as well.
Products are in float16 on a GPU and in float32 on a CPU, which has no fast float16.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import PeftModel
from safetensors.torch import load_file

from benchmarks.shared_pass import machine, save_random_model, save_samples, seconds_of
from selection_platform.configuration.method_settings import WarmUpLoraSettings, WarmUpSettings
from selection_platform.configuration.settings import ScoringSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.features.token_plan import TokenPlan, make_plan
from selection_platform.job.shards import shard_files
from selection_platform.methods.less.gradient_influence import InfluenceSpec, InfluenceSummary, measure
from selection_platform.models.loading import base_model_folder, load_model
from selection_platform.text.template_choice import make_renderer
from selection_platform.training.epoch_snapshots import MOMENTS_FILE, EpochSnapshot, epoch_snapshots
from selection_platform.training.fine_tuning import FineTuningSpec, fine_tune

DIMENSIONS = 8192
TOGETHER = 16
# Signs in memory at a time.
SIGNS = 1 << 29 if torch.cuda.is_available() else 1 << 23
EIGHT_SIGNS = 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) - 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-folder", type=Path, help="a real model; without it a random Llama of the sizes below")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--rank", type=int, default=128, help="of the adapter of the attention's four projections")
    parser.add_argument("--dtype", default="bfloat16" if torch.cuda.is_available() else "float32")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--targets", type=int, default=8, help="target samples, in one group")
    parser.add_argument("--tokens", type=int, default=200, help="mean tokens of a row, roughly, prompt and answer")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--tokens-per-batch", type=int, default=8192 if torch.cuda.is_available() else 1024)
    parser.add_argument("--logit-rows", type=int, default=1024)
    return parser.parse_args()


@dataclass
class Published:
    """Seconds that the published way took, and what came of it.

    Attributes:
        gradients: forward and backward passes, one by one, and Adam's directions.
        signs: making random signs.
        rest: projections, disk and scores.
        stored: bytes written.
        scores: mean cosine with the targets, for each row in the plan's order.
    """

    gradients: float = 0.0
    signs: float = 0.0
    rest: float = 0.0
    stored: int = 0
    scores: np.ndarray | None = None

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.gradients + self.signs + self.rest


class OneByOne:
    """The published way at one epoch of a warm-up."""

    def __init__(self, snapshot: EpochSnapshot, dtype: str, folder: Path) -> None:
        base, _ = load_model(base_model_folder(snapshot.folder), dtype)
        self.device = base.device
        self.model = PeftModel.from_pretrained(
            base, str(snapshot.folder), is_trainable=True, autocast_adapter_dtype=False
        ).eval()
        trained = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        self.weights = list(trained.values())
        state = load_file(snapshot.folder / MOMENTS_FILE)
        self.first, self.second = (
            torch.cat([state[f"{name}.{moment}"].flatten() for name in trained]).to(self.device)
            for moment in ("exp_avg", "exp_avg_sq")
        )
        self.folder = folder
        self.seconds = Published()

    def run(self, pool: TokenPlan, targets: TokenPlan) -> Published:
        """Features of both sides, on disk, and their products."""
        self.seconds = Published()
        files = [self._store(self._features(plan, adam), name) for plan, adam, name in self._sides(pool, targets)]
        self.seconds.rest += seconds_of(lambda: self._score(*files))
        return self.seconds

    def _sides(self, pool: TokenPlan, targets: TokenPlan) -> list[tuple[TokenPlan, bool, str]]:
        return [(pool, True, "pool.npy"), (targets, False, "targets.npy")]

    def _score(self, pool: Path, targets: Path) -> None:
        one, other = (torch.from_numpy(np.load(file)).to(self.device).float() for file in (pool, targets))
        self.seconds.scores = (one @ other.T).mean(dim=1).cpu().numpy()

    def _store(self, features: Iterator[torch.Tensor], name: str) -> Path:
        """Write normalised features as float16; a first copy as they come, as the scripts do, is left out."""
        parts = [part.cpu().numpy().astype(np.float16) for part in features]
        np.save(self.folder / name, np.concatenate(parts))
        self.seconds.stored += (self.folder / name).stat().st_size
        return self.folder / name

    def _features(self, plan: TokenPlan, adam: bool) -> Iterator[torch.Tensor]:
        for start in range(0, len(plan.sample_id), TOGETHER):
            rows = range(start, min(start + TOGETHER, len(plan.sample_id)))
            vectors: list[torch.Tensor] = []
            self.seconds.gradients += seconds_of(
                lambda rows=rows, vectors=vectors: vectors.extend(self._vector(plan, row, adam) for row in rows)
            )
            yield self._project(torch.stack(vectors))

    def _vector(self, plan: TokenPlan, row: int, adam: bool) -> torch.Tensor:
        """Flat gradient of a sample, or Adam's direction from it."""
        ids = torch.from_numpy(plan.joint(row).astype(np.int64))[None].to(self.device)
        labels = ids.clone()
        labels[:, : plan.prompt_tokens[row]] = -100
        self.model(input_ids=ids, labels=labels).loss.backward()
        gradient = torch.cat([weight.grad.flatten() for weight in self.weights if weight.grad is not None]).float()
        self.model.zero_grad()
        if not adam:
            return gradient
        first = 0.9 * self.first + 0.1 * gradient
        return first / torch.sqrt(0.999 * self.second + 0.001 * gradient**2 + 1e-8)

    def _project(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors x dimensions, each of length 1."""
        if vectors.is_cuda:
            # Of a length that float16 can hold the projections of: they are normalised anyway.
            vectors = torch.nn.functional.normalize(vectors, dim=1).mul_(128).half()
        width = vectors.shape[1]
        block = max(1, min(DIMENSIONS, SIGNS // width))
        parts: list[torch.Tensor] = []
        for start in range(0, DIMENSIONS, block):
            count = min(block, DIMENSIONS - start)
            signs: list[torch.Tensor] = []
            self.seconds.signs += seconds_of(
                lambda start=start, count=count, signs=signs: signs.append(self._signs(start, width, count))
            )
            self.seconds.rest += seconds_of(lambda signs=signs: parts.append((vectors @ signs[0]).float()))
        return torch.nn.functional.normalize(torch.cat(parts, dim=1), dim=1)

    def _signs(self, seed: int, width: int, count: int) -> torch.Tensor:
        """Width x count random signs, the same for the same seed."""
        if self.device.type == "cuda":
            generator = torch.Generator(self.device).manual_seed(seed)
            signs = torch.empty(width, count, dtype=torch.float16, device=self.device)
            return signs.random_(0, 2, generator=generator).mul_(2).sub_(1)
        # Eight signs a random byte, looked up: the fastest way that we found.
        random = np.frombuffer(np.random.default_rng(seed).bytes(-(-width * count // 8)), dtype=np.uint8)
        signs = torch.from_numpy(EIGHT_SIGNS.take(random, axis=0))
        return signs.view(-1)[: width * count].view(width, count)


def warm_up(options: argparse.Namespace, base: Path, samples_file: Path, scratch: Path) -> Path:
    """One epoch of a LoRA training on some of the rows."""
    rows = pq.read_table(samples_file).slice(0, 32)
    pq.write_table(rows.append_column("position", pa.array(range(len(rows)))), scratch / "warm_up.parquet")
    spec = FineTuningSpec(
        base_model_folder=str(base),
        train_file=str(scratch / "warm_up.parquet"),
        recipe=WarmUpSettings(
            epochs=1,
            learning_rate=2e-4,
            schedule="cosine",
            warmup_ratio=0.01,
            weight_decay=0.1,
            global_batch=8,
            batch_per_device=1,
            max_length=options.max_length,
            lora=WarmUpLoraSettings(rank=options.rank, alpha=4 * options.rank),
        ),
        text=PAPER,
        seed=0,
        keep_epochs=True,
        precision=options.dtype,
    )
    fine_tune(spec, scratch / "warm_up")
    return scratch / "warm_up"


def save_rows(options: argparse.Namespace, scratch: Path) -> tuple[Path, Path]:
    """The pool's rows and the target samples."""
    pool, targets = scratch / "pool.parquet", scratch / "targets.parquet"
    # Random letters: about 2 characters a token in a real vocabulary, 1 in that of bytes.
    save_samples(pool, options.rows + options.targets, options.tokens, 2 if options.model_folder else 1)
    table = pq.read_table(pool)
    last = table.slice(options.rows)
    pq.write_table(last.append_column("target", pa.array(["target"] * len(last))), targets)
    pq.write_table(table.slice(0, options.rows), pool)
    return pool, targets


def report(options: argparse.Namespace, parameters: int, slow: Published, fast: InfluenceSummary, out: Path) -> None:
    ours = fast.seconds - fast.load_seconds
    stored = sum(path.stat().st_size for path in shard_files(out))
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, torch {torch.__version__}, {options.dtype}")
    print(
        f"{parameters / 1e6:.2f}M parameters in the adapter, {options.rows} rows of {fast.tokens / options.rows:.0f} "
        f"tokens, {options.targets} target samples, one epoch"
    )
    print(f"{'':38}{'seconds':>10}{'rows/s':>10}{'bytes stored':>15}")
    print(
        f"{'one by one, with projections':38}{slow.seconds:10.2f}{options.rows / slow.seconds:10.2f}{slow.stored:15,}"
    )
    print(f"{'  gradients':38}{slow.gradients:10.2f}")
    print(f"{'  random signs':38}{slow.signs:10.2f}")
    print(f"{'  projections, disk, scores':38}{slow.rest:10.2f}")
    print(f"{'ours (all of the job, targets too)':38}{ours:10.2f}{options.rows / ours:10.2f}{stored:15,}")
    print(
        f"ratio {slow.seconds / ours:.1f}; with signs for nothing {(slow.seconds - slow.signs) / ours:.1f}; "
        f"gradients alone {slow.gradients / ours:.1f}; padding {fast.padding_share:.1%}, "
        f"peak {fast.peak_memory_bytes / 2**30:.1f} GiB"
    )


def compare(slow: Published, plan: TokenPlan, out: Path) -> None:
    """How far the projections' scores are from the cosines."""
    rows = pa.concat_tables([pq.read_table(path) for path in shard_files(out)])
    exact = dict(zip(rows["sample_id"].to_pylist(), rows["influence"].to_pylist(), strict=True))
    ours = np.array([exact[name] for name in plan.sample_id.to_pylist()])
    assert slow.scores is not None
    print(
        f"scores: correlation {np.corrcoef(ours, slow.scores)[0, 1]:.4f}, largest difference "
        f"{np.abs(ours - slow.scores).max():.4f}, ours from {ours.min():.3f} to {ours.max():.3f}"
    )


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        base = options.model_folder or scratch / "model"
        if options.model_folder is None:
            save_random_model(base, options)
        pool, targets = save_rows(options, scratch)
        warmup = warm_up(options, base, pool, scratch)
        _, tokenizer = load_model(base, options.dtype, device="cpu")
        spec = InfluenceSpec(
            warmup_folder=str(warmup),
            samples_file=str(pool),
            targets_file=str(targets),
            scoring=ScoringSettings(
                max_length=options.max_length,
                tokens_per_batch=options.tokens_per_batch,
                logit_rows=options.logit_rows,
                samples_per_shard=4096,
            ),
            directions=("published",),
            dtype=options.dtype,
            text=PAPER,
        )
        started = time.perf_counter()
        measure(replace(spec, samples_file=str(targets)), scratch / "warm")  # the GPU's kernels are loaded
        plans = [
            make_plan(
                file,
                make_renderer(tokenizer, PAPER),
                options.max_length,
                "prompt_start",
                scratch / name,
                with_end=True,
            )
            for file, name in ((pool, "pool"), (targets, "targets"))
        ]
        print(f"warmed up in {time.perf_counter() - started:.1f} s", flush=True)
        fast = measure(spec, scratch / "out")
        one_by_one = OneByOne(epoch_snapshots(warmup)[0], options.dtype, scratch)
        if torch.cuda.is_available():
            one_by_one.run(next(plans[0].shards(1)), next(plans[1].shards(1)))
        slow = one_by_one.run(*plans)
        report(options, sum(weight.numel() for weight in one_by_one.weights), slow, fast, scratch / "out")
        compare(slow, plans[0], scratch / "out")


if __name__ == "__main__":
    main()
