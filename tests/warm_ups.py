"""LoRA trainings of tiny models that keep their epochs, for LESS."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedConfig

from selection_platform.configuration.settings import LoraSettings
from selection_platform.text.conversation import Message
from selection_platform.training.fine_tuning import FineTuningSpec
from tests.specs import made
from tests.tiny import random_samples, save_model, write_samples


def warm_up_spec(folder: Path, config: PreTrainedConfig, **changes: Any) -> FineTuningSpec:
    """Saves a tiny model and ten conversations below `folder`: three steps an epoch, two epochs."""
    save_model(folder / "base", config)
    samples = {
        name: messages for name, messages in random_samples(12).items() if messages[-1] != Message("assistant", "")
    }
    write_samples(folder / "train.parquet", dict(list(samples.items())[:10]))
    table = pq.read_table(folder / "train.parquet")
    pq.write_table(table.append_column("position", pa.array(range(len(table)))), folder / "train.parquet")
    recipe: dict[str, Any] = {
        "epochs": 2,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "warmup_ratio": 0.0,
        "global_batch": 4,
        "batch_per_device": 4,
        "max_length": 100,
        "lora": LoraSettings(rank=4, alpha=16, dropout=0.1),
        "keep_epochs": True,
    }
    base, train_file = str(folder / "base"), str(folder / "train.parquet")
    return made(FineTuningSpec, base_model_folder=base, train_file=train_file, **(recipe | changes))
