"""Fine-tune a base model on the conversations next to this file, with TRL 1.16 or newer.

python train.py                  on one GPU
accelerate launch train.py       on several
"""

import os
from pathlib import Path

import torch
import trl  # pyright: ignore[reportMissingImports]
import yaml
from datasets import load_dataset
from packaging.version import Version
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportMissingImports]

HERE = Path(__file__).parent


def main() -> None:
    """Train with recipe.yaml, and save model and tokenizer."""
    if Version(trl.__version__) < Version("1.16"):
        raise SystemExit(f"TRL {trl.__version__} may train on all tokens of rows with labels; install trl>=1.16")
    recipe = yaml.safe_load((HERE / "recipe.yaml").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(recipe["model"], revision=recipe.get("revision"))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token

    def tokenize(row: dict) -> dict:
        # Tokenise each segment separately, as the evaluation does, so that no token crosses its borders.
        ids, labels = [], []
        for segment in row["segments"]:
            of_segment = tokenizer.encode(segment["text"], add_special_tokens=False)
            ids += of_segment
            labels += of_segment if segment["label"] else [-100] * len(of_segment)
        return {"input_ids": ids, "labels": labels}

    data = load_dataset("json", data_files=str(HERE / "train.jsonl"), split="train")
    data = data.map(tokenize, remove_columns=data.column_names)

    has_gpu = torch.cuda.is_available()
    at_once = recipe["training"]["per_device_train_batch_size"] * int(os.environ.get("WORLD_SIZE", "1"))
    # transformers 5 takes a number of steps below 1 as a ratio.
    warmup = "warmup_ratio" if "warmup_ratio" in SFTConfig.__dataclass_fields__ else "warmup_steps"
    trainer = SFTTrainer(
        # Trained weights stay in float32: at a low learning rate, updates are smaller than bfloat16's precision.
        model=AutoModelForCausalLM.from_pretrained(
            recipe["model"], revision=recipe.get("revision"), dtype=torch.float32
        ),
        args=SFTConfig(
            **recipe["training"],
            **{warmup: recipe["warmup_ratio"]},
            gradient_accumulation_steps=recipe["conversations_per_step"] // at_once,
            bf16=has_gpu,
            use_cpu=not has_gpu,
        ),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", **recipe["lora"]) if "lora" in recipe else None,
    )
    trainer.train()
    trainer.save_model()


if __name__ == "__main__":
    main()
