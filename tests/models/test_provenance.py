from pathlib import Path

import torch
from safetensors.torch import save_file

from selection_platform.models.provenance import package_versions, parameter_count, peak_memory_bytes, weights_hash


def test_parameters_of_all_weight_files_are_counted(tmp_path: Path):
    save_file({"a": torch.zeros(2, 3), "scalar": torch.zeros(())}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(5)}, tmp_path / "model-2.safetensors")
    assert parameter_count(tmp_path) == 6 + 1 + 5


def test_the_hash_covers_weights_and_nothing_else(tmp_path: Path):
    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
    before = weights_hash(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert weights_hash(tmp_path) == before
    save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    assert weights_hash(tmp_path) != before


def test_versions_and_memory_are_reported():
    assert {"torch", "transformers", "peft"} <= package_versions().keys()
    assert peak_memory_bytes() > 10_000_000
