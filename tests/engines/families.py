"""Tiny random models of many decoder families, with weights large enough that a wrong mask shows."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 211
WINDOW = 5

OLD = {"vocab_size": VOCABULARY, "hidden_size": 32, "initializer_range": 0.3, "eos_token_id": 2}
PLAIN_HEADS = {**OLD, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 512}
MODERN = {**PLAIN_HEADS, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
WINDOWED = {**MODERN, "sliding_window": WINDOW}
GEMMA = {**WINDOWED, "query_pre_attn_scalar": 8}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]

TREE = {
    "llama": ("llama", MODERN),
    "llama-eager": ("llama", {**MODERN, "attn_implementation": "eager"}),
    "qwen2": ("qwen2", MODERN),
    "qwen2-window": ("qwen2", {**WINDOWED, "use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("qwen3", MODERN),
    "gemma2": ("gemma2", {**GEMMA, "attn_implementation": "eager"}),
    "gemma3": ("gemma3_text", {**GEMMA, "layer_types": MIXED}),
    "phi3": ("phi3", MODERN),
    "mistral-window": ("mistral", WINDOWED),
    "mistral-window-eager": ("mistral", {**WINDOWED, "attn_implementation": "eager"}),
    "gpt_neox": ("gpt_neox", {**PLAIN_HEADS, "intermediate_size": 48}),
    "gpt2": ("gpt2", {**OLD, "n_layer": 3, "n_head": 4, "n_positions": 512}),
    "cohere": ("cohere", {**MODERN, "logit_scale": 0.25}),
    "opt": ("opt", {**PLAIN_HEADS, "ffn_dim": 48, "word_embed_proj_dim": 32}),
}
"""Families whose shared prefixes are computed once: name → (model type, config)."""

PLAIN = {
    "bloom": ("bloom", {**OLD, "n_layer": 3, "n_head": 4}),
    "mamba": ("mamba", {**OLD, "num_hidden_layers": 3, "state_size": 8}),
    "lfm2": (
        "lfm2",
        {**MODERN, "layer_types": ["conv", "full_attention", "conv"], "block_auto_adjust_ff_dim": False},
    ),
    "falcon_h1": (
        "falcon_h1",
        {
            **MODERN,
            "mamba_d_ssm": 32,
            "mamba_n_heads": 4,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "mamba_chunk_size": 16,
        },
    ),
}
"""Families that cannot express a tree: ALiBi, state-space, convolutional and attention, both in one layer."""


def tiny(name: str) -> torch.nn.Module:
    """A random model of a family, the same each time."""
    kind, settings = (TREE | PLAIN)[name]
    torch.manual_seed(0)
    more = {key: value for key, value in settings.items() if key == "attn_implementation"}
    config = AutoConfig.for_model(kind, **{key: value for key, value in settings.items() if key not in more})
    return AutoModelForCausalLM.from_config(config, **more).float().eval()
