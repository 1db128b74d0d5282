"""An exported folder, read by plain transformers and peft, is the model that our evaluation measured."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lm_eval.api.instance import Instance
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from selection_platform.configuration.text_settings import PAPER
from selection_platform.errors import PlatformError
from selection_platform.models.dropped_weights import drop_weights
from selection_platform.models.exported import (
    PROBES,
    ModelExport,
    chat_ids,
    check_model_place,
    export_model,
    other_prompt_ids,
)
from selection_platform.models.loading import UnreadableModel, load_model
from selection_platform.models.renderers import load_renderer
from selection_platform.training.fine_tuning import fine_tune
from tests.chats import chat_of
from tests.tiny import CONFIGS
from tests.warm_ups import warm_up_spec

QUESTIONS = ("the cat sat", "12 + 7", "a hat!", "nineteen\nis 19")


@pytest.fixture(scope="module", params=["llama", pytest.param("qwen2", marks=pytest.mark.slow)])
def adapter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a LoRA checkpoint. Its base model has generation settings of its own that change answers."""
    folder = tmp_path_factory.mktemp(request.param)
    spec = warm_up_spec(folder, CONFIGS[request.param], keep_epochs=False)
    own = {"repetition_penalty": 1.8, "temperature": 0.6, "do_sample": True, "eos_token_id": [7, 8]}
    (folder / "base" / "generation_config.json").write_text(json.dumps(own))
    fine_tune(spec, folder / "adapter")
    return folder / "adapter"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a checkpoint of all weights."""
    folder = tmp_path_factory.mktemp("full")
    fine_tune(warm_up_spec(folder, CONFIGS["llama"], keep_epochs=False, lora=None), folder / "full")
    return folder / "full"


def export(source: Path, target: Path, **changes: Any) -> Path:
    values = {
        "dtype": "float32",
        "text": PAPER,
        "trained": True,
        "adapter": False,
        "base_name": "me/base",
        "base_revision": "abc",
    }
    export_model(ModelExport(source=source, **(values | changes)), target, lambda _: "a card\n")
    return target


def plain(folder: Path) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(2, 42).reshape(2, 20)).logits


def our_answers(folder: Path, dtype: str) -> list[str]:
    # In bfloat16 a batch rounds otherwise than a prompt alone, and then near-equal tokens change places.
    at_once = 3 if dtype == "float32" else 1
    chat = chat_of(load_model(folder, dtype, device="cpu")[0], load_renderer(folder, PAPER), at_once)
    texts = [chat.apply_chat_template([{"role": "user", "content": question}]) for question in QUESTIONS]
    return chat.generate_until(
        [Instance("generate_until", {}, (text, {"max_gen_toks": 24, "until": []}), 0) for text in texts]
    )


def plain_answers(model: Any, tokenizer: Any) -> list[str]:
    answers = []
    for question in QUESTIONS:
        prompt = [{"role": "user", "content": question}]
        ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        new = model.generate(**ids, max_new_tokens=24)[0, ids["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(new, skip_special_tokens=True).split("\nHuman:")[0])
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_adapter_is_the_model_that_was_evaluated(adapter: Path, tmp_path: Path, dtype: str):
    model, tokenizer = plain(export(adapter, tmp_path / "out", dtype=dtype))
    assert model.dtype == getattr(torch, dtype)
    assert torch.equal(logits(model), logits(load_model(adapter, dtype, device="cpu")[0]))
    assert plain_answers(model, tokenizer) == our_answers(adapter, dtype)
    # What it was trained from does not answer so.
    assert our_answers(adapter.parent / "base", dtype) != our_answers(adapter, dtype)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert not any("base_model" in file.read_text() for file in (tmp_path / "out").glob("*config.json"))


def test_full_weights_are_the_model_that_was_evaluated(full: Path, tmp_path: Path):
    model, tokenizer = plain(export(full, tmp_path / "out"))
    assert torch.equal(logits(model), logits(load_model(full, "float32", device="cpu")[0]))
    assert plain_answers(model, tokenizer) == our_answers(full, "float32")


def test_an_adapter_by_itself_names_its_base_as_others_find_it(adapter: Path, tmp_path: Path):
    out = export(adapter, tmp_path / "out", adapter=True)
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("me/base", "abc")
    base = AutoModelForCausalLM.from_pretrained(adapter.parent / "base", dtype=torch.float32)
    merged = cast(Any, PeftModel.from_pretrained(base, str(out))).merge_and_unload()
    assert torch.equal(logits(merged), logits(load_model(adapter, "float32", device="cpu")[0]))


def test_a_base_model_gets_the_template_that_it_was_evaluated_with(adapter: Path, tmp_path: Path):
    base = adapter.parent / "base"
    assert plain(base)[1].chat_template is None
    model, tokenizer = plain(export(base, tmp_path / "out", trained=False))
    assert plain_answers(model, tokenizer) == our_answers(base, "float32")


def test_prompt_ids_are_those_of_the_evaluation_but_where_pieces_merge(full: Path, tmp_path: Path):
    out = export(full, tmp_path / "out")
    chat = chat_of(load_model(full, "float32", device="cpu")[0], load_renderer(full, PAPER), 1)
    expected = []
    for name, messages in PROBES.items():
        text = chat.apply_chat_template([{"role": each.role, "content": each.content} for each in messages])
        if chat_ids(plain(out)[1], messages) != chat._prompts[text].ids:
            expected.append(name)
    assert other_prompt_ids(out, PAPER) == expected
    assert set(expected) <= {"several turns"}


def test_full_weights_hold_no_adapter(full: Path, tmp_path: Path):
    with pytest.raises(PlatformError, match="has no adapter, only full weights"):
        export(full, tmp_path / "out", adapter=True)
    assert list(tmp_path.iterdir()) == []


def test_dropped_weights_say_how_to_get_them_back(tmp_path: Path):
    fine_tune(warm_up_spec(tmp_path, CONFIGS["llama"], keep_epochs=False), tmp_path / "adapter")
    drop_weights(tmp_path / "adapter")
    with pytest.raises(UnreadableModel, match="refresh EXPERIMENT --rebuild"):
        export(tmp_path / "adapter", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_replaces_its_own_and_nothing_else(full: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    check_model_place(out)
    export(full, out)
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "left.txt").write_text("by a killed export")
    check_model_place(out)
    export(full, out, dtype="bfloat16")
    assert sorted(tmp_path.iterdir()) == [out]
    assert plain(out)[0].dtype == torch.bfloat16
    (out / "notes.txt").write_text("mine")
    with pytest.raises(PlatformError, match=r"out/notes.txt was not written by an export, and is not overwritten"):
        check_model_place(out)
    (out / "notes.txt").unlink()
    (out / "README.md").write_text("mine")
    with pytest.raises(PlatformError, match=r"out/README.md was changed since it was exported"):
        check_model_place(out)


def test_a_killed_export_leaves_the_earlier_one_whole(full: Path, tmp_path: Path):
    class Killed(BaseException):
        """Stands for kill -9."""

    def killed(_: Path) -> str:
        raise Killed

    out = export(full, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = ModelExport(full, "bfloat16", PAPER, trained=True, adapter=False, base_name="b", base_revision=None)
    with pytest.raises(Killed):
        export_model(again, out, killed)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"files": {"README.md": {}}}'])
def test_a_record_of_somebody_else_is_no_leave_to_write(tmp_path: Path, text: str):
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(PlatformError, match=r"was not written by an export"):
        check_model_place(tmp_path)
