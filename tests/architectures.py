"""Tiny models with random weights and the configurations of the families that people fine-tune."""

from typing import Any

from transformers import (
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from tests.tiny import SIZES, VOCAB

# Special tokens that lie in the small vocabulary.
SPECIAL: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
COMMON: dict[str, Any] = {**SIZES, **SPECIAL, "max_position_embeddings": 320}
WINDOW = 8
"""Tokens that a place sees in a sliding window: fewer than a sample has."""

ARCHITECTURES: dict[str, PreTrainedConfig] = {
    "llama-3": LlamaConfig(
        **COMMON,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "qwen2": Qwen2Config(**COMMON, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**COMMON, head_dim=16),
    "mistral": MistralConfig(**COMMON, sliding_window=WINDOW),
    "gemma-2": Gemma2Config(
        **COMMON, head_dim=16, sliding_window=WINDOW, query_pre_attn_scalar=16, final_logit_softcapping=3.0,
        attn_logit_softcapping=1.0,
    ),
    "gemma-3": Gemma3TextConfig(
        **COMMON, head_dim=16, sliding_window=WINDOW, query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "phi-3": Phi3Config(**COMMON, sliding_window=WINDOW),
    "olmo-2": Olmo2Config(**COMMON),
    "gpt-2": GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=2, n_positions=320, initializer_range=0.2, **SPECIAL,
        # Its own default is 0.1, which training would follow.
        embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
    ),
    "mixtral": MixtralConfig(**COMMON, num_local_experts=4, num_experts_per_tok=2),
    # Beside the ten, for their logits: scaled by what the configuration says.
    "cohere": CohereConfig(**COMMON, logit_scale=0.25),
    "granite": GraniteConfig(**COMMON, logits_scaling=4.0, embedding_multiplier=3.0, attention_multiplier=0.3),
}  # fmt: skip
