"""How much the shared pass saves over the passes of the published scripts.

Run by hand:

    python -m benchmarks.shared_pass --hidden 128 --layers 4 --vocab 8192 --rows 100 --tokens 200

The published scripts make five forward passes a sample, one sample at a time: the prompt alone (IFD's pre-experience),
prompt and answer (IFD), the answer alone (IFD), prompt and answer again (Entropy), and once more padded to the full
length (the k-means embedding); all but the last with every layer's hidden states and all logits. Here they are in our
own words, on the same model and rows, without the scripts' per-token Python loops, and so a little faster than those.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from selection_platform.configuration.settings import ScoringSettings
from selection_platform.configuration.text_settings import PAPER
from selection_platform.features.answer_likelihood import LikelihoodSpec, LikelihoodSummary, score
from selection_platform.features.token_plan import TokenPlan, make_plan
from selection_platform.models.loading import load_model
from selection_platform.text.template_choice import make_renderer


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-folder", type=Path, help="a real model; without it a random Llama of the sizes below")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--dtype", default="bfloat16" if torch.cuda.is_available() else "float32")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=200, help="mean tokens of a row, roughly, prompt and answer")
    parser.add_argument("--max-length", type=int, default=512, help="also what the embedding pass pads to")
    parser.add_argument("--tokens-per-batch", type=int, default=4096)
    parser.add_argument("--logit-rows", type=int, default=1024)
    return parser.parse_args()


def save_random_model(folder: Path, options: argparse.Namespace) -> None:
    """A random Llama with a tokenizer whose tokens are bytes."""
    config = LlamaConfig(
        vocab_size=options.vocab,
        hidden_size=options.hidden,
        intermediate_size=options.hidden * 8 // 3,
        num_hidden_layers=options.layers,
        num_attention_heads=max(1, options.hidden // 64),
        max_position_embeddings=options.max_length,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<eos>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(folder)


def save_samples(path: Path, rows: int, tokens: int, characters_per_token: float) -> None:
    """Random conversations of one turn; lengths are log-normal, as those of real pools roughly are."""
    generator = np.random.default_rng(0)
    letters = np.array([*"abcdefghijklmnopqrstuvwxyz      "])

    def text() -> str:
        length = generator.lognormal(mean=np.log(tokens / 2) - 0.18, sigma=0.6) * characters_per_token
        return "".join(generator.choice(letters, max(1, int(length) - 9)))

    messages = [[{"role": "user", "content": text()}, {"role": "assistant", "content": text()}] for _ in range(rows)]
    pq.write_table(pa.table({"sample_id": [f"{row:08d}" for row in range(rows)], "messages": messages}), path)


def mean_nll(logits: torch.Tensor, tokens: torch.Tensor, first: int) -> float:
    """Mean NLL of the tokens from `first` on."""
    loss = torch.nn.functional.cross_entropy(logits[0, first - 1 : -1].float(), tokens[0, first:])
    return loss.item()


@torch.inference_mode()
def five_passes(model: PreTrainedModel, plan: TokenPlan, max_length: int) -> None:
    """What the published scripts do with each sample, one sample at a time."""

    def run(ids: np.ndarray) -> tuple[Any, torch.Tensor]:
        tokens = torch.from_numpy(ids.astype(np.int64))[None].to(model.device)
        return model(input_ids=tokens, output_hidden_states=True), tokens

    for index in range(len(plan.sample_id)):
        joint, prompt = plan.joint(index), int(plan.prompt_tokens[index])
        output, tokens = run(joint[:prompt])
        mean_nll(output.logits, tokens, 1)
        output.hidden_states[-1][0].mean(dim=0).cpu()
        output, tokens = run(joint)
        mean_nll(output.logits, tokens, prompt)
        if plan.direct_answer_tokens[index]:
            output, tokens = run(plan.direct(index))
            mean_nll(output.logits, tokens, plan.cue_length)
        output, tokens = run(joint)
        mean_nll(output.logits, tokens, prompt)
        padded = torch.zeros(1, max_length, dtype=torch.long)
        padded[0, : len(joint)] = torch.from_numpy(joint.astype(np.int64))
        mask = (torch.arange(max_length) < len(joint)).long()[None]
        hidden = model.get_decoder()(input_ids=padded.to(model.device), attention_mask=mask.to(model.device))
        hidden.last_hidden_state[0].mean(dim=0).cpu()


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall time, the GPU's work included."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def matmul_rate(device: str = "cuda", size: int = 8192) -> float:
    """Measured bfloat16 FLOP/s of a matrix product of `size` rows and columns."""
    repeats = 20
    one = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    seconds_of(lambda: one @ one)
    return repeats * 2 * size**3 / seconds_of(lambda: [one @ one for _ in range(repeats)])


def machine() -> str:
    """The processor that did the work."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def report(options: argparse.Namespace, model: PreTrainedModel, shared: LikelihoodSummary, published: float) -> None:
    ours = shared.seconds - shared.load_seconds
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, torch {torch.__version__}, {options.dtype}")
    print(
        f"{parameters / 1e6:.1f}M parameters, {options.rows} rows, {shared.tokens / options.rows:.0f} tokens a row in "
        f"both passes of the shared pass; the published embedding pass pads to {options.max_length}"
    )
    print(f"{'':28}{'seconds':>10}{'rows/s':>10}")
    print(f"{'five passes, one by one':28}{published:10.2f}{options.rows / published:10.1f}")
    print(f"{'shared pass (all of the job)':28}{ours:10.2f}{options.rows / ours:10.1f}")
    print(f"ratio {published / ours:.1f}, padding {shared.padding_share:.1%} of the tokens")
    if torch.cuda.is_available():
        # 2 FLOPs a parameter and token; attention's own products are left out.
        share = 2 * parameters * shared.tokens / ours / matmul_rate()
        print(f"{share:.1%} of the measured bfloat16 matmul rate, peak {shared.peak_memory_bytes / 2**30:.1f} GiB")


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
        plan = make_plan(samples_file, renderer, options.max_length, "prompt_start", Path(scratch))
        five_passes(model, next(plan.shards(2)), options.max_length)  # warm up
        published = seconds_of(lambda: five_passes(model, plan, options.max_length))
        spec = LikelihoodSpec(
            model_folder=str(folder),
            samples_file=str(samples_file),
            scoring=ScoringSettings(
                max_length=options.max_length,
                tokens_per_batch=options.tokens_per_batch,
                logit_rows=options.logit_rows,
                samples_per_shard=4096,
            ),
            dtype=options.dtype,
            text=PAPER,
        )
        shared = score(spec, Path(scratch) / "scores")
        report(options, model, shared, published)


if __name__ == "__main__":
    main()
