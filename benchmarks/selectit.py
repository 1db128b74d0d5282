"""How much batches and last-row logits save over the passes of SelectIT's published code.

Run by hand:

    python -m benchmarks.selectit --hidden 128 --layers 4 --vocab 8192 --rows 20 --tokens 200

The published code asks five prompts of each sample, one sequence at a time, and makes the probabilities of the whole
vocabulary at every position, to read five numbers off the last. Here it is in our own words, on the same model, rows
and prompts, without the code's repeated tokenising, and so a little faster than that.
"""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel

from benchmarks.shared_pass import machine, matmul_rate, save_random_model, save_samples, seconds_of
from selection_platform.configuration.settings import PassSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.features.token_plan import TokenPlan, make_plan
from selection_platform.job.shards import shard_files
from selection_platform.methods.selectit.rating_probability import RatingSpec, RatingSummary, rate
from selection_platform.methods.selectit.rating_prompts import RatingTokens, conversation_tokens, rating_tokens
from selection_platform.models.loading import load_model
from selection_platform.text.template_choice import make_renderer


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-folder", type=Path, help="a real model; without it a random Llama of the sizes below")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--dtype", default="bfloat16" if torch.cuda.is_available() else "float32")
    parser.add_argument("--rows", type=int, default=20, help="samples, of five sequences each")
    parser.add_argument("--tokens", type=int, default=200, help="mean tokens of a conversation, roughly")
    parser.add_argument("--max-length", type=int, default=1024, help="of a sequence, rating line and cue included")
    parser.add_argument("--tokens-per-batch", type=int, default=16384)
    return parser.parse_args()


@torch.inference_mode()
def one_by_one(model: PreTrainedModel, tokens: RatingTokens, plan: TokenPlan) -> np.ndarray:
    """What the published code does: probabilities of the digits, samples x prompts x 5."""
    result = np.empty((len(plan.sample_id), len(tokens.heads), len(tokens.digits)))
    for index in range(len(plan.sample_id)):
        for prompt in range(len(tokens.heads)):
            ids = torch.from_numpy(tokens.sequence(prompt, plan.joint(index)).astype(np.int64))[None]
            logits = model(input_ids=ids.to(model.device)).logits
            probabilities = torch.softmax(logits, dim=-1)
            result[index, prompt] = probabilities[0, -1, tokens.digits].float().cpu().numpy()
    return result


def ratings(folder: Path) -> np.ndarray:
    """The job's result in the order of the plan: samples x prompts x 5."""
    columns = [pq.read_table(file)["probabilities"].to_pylist() for file in shard_files(folder)]
    return np.array([row for column in columns for row in column]).reshape(-1, 5, 5)


def report(
    options: argparse.Namespace, model: PreTrainedModel, ours: RatingSummary, published: float, difference: float
) -> None:
    seconds = ours.seconds - ours.load_seconds
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, torch {torch.__version__}, {options.dtype}")
    print(
        f"{parameters / 1e6:.1f}M parameters, vocabulary {model.config.vocab_size}, {options.rows} rows of 5 prompts, "
        f"{ours.tokens / options.rows / 5:.0f} tokens a prompt"
    )
    print(f"{'':28}{'seconds':>10}{'rows/s':>10}")
    print(f"{'one by one, all logits':28}{published:10.2f}{options.rows / published:10.2f}")
    print(f"{'ours (all of the job)':28}{seconds:10.2f}{options.rows / seconds:10.2f}")
    print(f"ratio {published / seconds:.1f}, padding {ours.padding_share:.1%} of the tokens")
    print(f"largest difference of a digit's share: {difference:.1e}")
    if torch.cuda.is_available():
        # 2 FLOPs a parameter and token; attention's own products are left out.
        share = 2 * parameters * ours.tokens / seconds / matmul_rate()
        print(f"{share:.1%} of the measured bfloat16 matmul rate, peak {ours.peak_memory_bytes / 2**30:.1f} GiB")


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model_folder or Path(scratch) / "model"
        if options.model_folder is None:
            save_random_model(folder, options)
        samples_file = Path(scratch) / "samples.parquet"
        # Random letters: about 2 characters a token in a real vocabulary, 1 in that of bytes.
        save_samples(samples_file, options.rows, options.tokens, 2 if options.model_folder else 1)
        model, tokenizer = load_model(folder, options.dtype)
        renderer = make_renderer(tokenizer, PAPER)
        tokens = rating_tokens(renderer)
        room = conversation_tokens(tokens, options.max_length)
        plan = make_plan(samples_file, renderer, room, "prompt_start", Path(scratch))
        one_by_one(model, tokens, next(plan.shards(2)))  # warm up
        expected = np.empty(0)

        def run_one_by_one() -> None:
            nonlocal expected
            expected = one_by_one(model, tokens, plan)

        published = seconds_of(run_one_by_one)
        if torch.cuda.is_available():
            # The peak is to be ours.
            torch.cuda.reset_peak_memory_stats()
        spec = RatingSpec(
            model_folder=str(folder),
            samples_file=str(samples_file),
            scoring=PassSettings(
                max_length=options.max_length, tokens_per_batch=options.tokens_per_batch, samples_per_shard=4096
            ),
            dtype=options.dtype,
            text=PAPER,
        )
        ours = rate(spec, Path(scratch) / "ratings")
        found = ratings(Path(scratch) / "ratings")
        shares = [numbers / numbers.sum(axis=-1, keepdims=True) for numbers in (found, expected)]
        report(options, model, ours, published, float(np.abs(shares[0] - shares[1]).max()))


if __name__ == "__main__":
    main()
