"""The forward pass: its batches, its means, and the models that it would score wrongly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.modeling_outputs import CausalLMOutput

from selection_platform.models import forward_pass
from selection_platform.models.forward_pass import batches, check_model
from selection_platform.models.head import UnsupportedModel
from tests.tiny import CONFIGS, save_model


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 100))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int):
    array = np.array(lengths, dtype=np.int64)
    found = [list(indices) for indices in batches(array, budget)]
    order = [index for indices in found for index in indices]
    assert order == sorted((i for i, n in enumerate(lengths) if n), key=lambda i: (-lengths[i], i))
    for indices in found:
        assert len(indices) == 1 or len(indices) * lengths[indices[0]] <= budget


def test_the_weights_of_positions_by_hand():
    # Three tokens weigh 1/6, 2/6 and 3/6, two weigh 1/3 and 2/3; what stands behind them counts nothing.
    hidden = torch.tensor([[[6.0, 0.0], [3.0, 3.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 3.0], [99.0, 99.0]]])
    assert forward_pass.weighted_hidden(hidden, np.array([3, 2])).tolist() == [[2.0, 2.0], [1.0, 2.0]]


class SeesIds(GPT2LMHeadModel):
    """Its logits depend on more than the last hidden state."""

    def forward(self, input_ids=None, **arguments):  # pyright: ignore[reportIncompatibleMethodOverride]
        output = super().forward(input_ids, **arguments)
        return output if input_ids is None else CausalLMOutput(logits=output.logits + input_ids[..., None])


def test_refuses_models_it_would_score_wrongly(tmp_path: Path):
    model = save_model(tmp_path, CONFIGS["gpt2"])
    check_model(model)
    with pytest.raises(UnsupportedModel, match="do not follow from the decoder's last hidden state"):
        check_model(SeesIds(GPT2Config(n_embd=32, n_layer=1, n_head=2)).eval())
    decoder = model.get_decoder()
    plain = decoder.forward

    def looks_ahead(*inputs, **arguments):
        output = plain(*inputs, **arguments)
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.mean(dim=1, keepdim=True)
        return output

    decoder.forward = looks_ahead
    with pytest.raises(UnsupportedModel, match="not causal"):
        check_model(model)
