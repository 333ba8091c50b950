"""Which dense architecture becomes which mixture of experts, both of them classes of transformers.

A class fits if all that is not the MLP is the same in both: biases, norms, positions, attention windows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chunfen.errors import SettingError

SHARED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "rope_parameters",
    "attention_dropout",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
"""What a mixture's config takes over from the dense one's, by the same name."""

SILENT = 64
"""Width of the shared expert that Qwen2-MoE always has. Ours adds nothing: its weights are zero."""


def moe_config(dense: Any, experts: int, experts_per_tok: int) -> Any:
    """The config of the mixture that a dense model becomes.

    Raises SettingError for an architecture that has no mixture here, or a variant that its mixture cannot hold.
    """
    if dense.model_type not in MOE:
        raise SettingError(
            f"to_moe: {dense.model_type} models cannot be made a mixture of experts here; {', '.join(MOE)} can."
        )
    taken = {name: value for name in SHARED if (value := getattr(dense, name, None)) is not None}
    return MOE[dense.model_type](dense, experts, **taken, num_experts_per_tok=experts_per_tok, dtype=dense.dtype)


def _mixtral(dense: Any, experts: int, **taken: Any) -> Any:
    from transformers import MixtralConfig

    for name in ("attention_bias", "mlp_bias"):
        if getattr(dense, name, False):
            raise SettingError(f"to_moe: this {dense.model_type} model has {name}; Mixtral has no place for it.")
    window = getattr(dense, "sliding_window", None)
    return MixtralConfig(**taken, num_local_experts=experts, sliding_window=window)


def _qwen2_moe(dense: Any, experts: int, **taken: Any) -> Any:
    from transformers import Qwen2MoeConfig

    return Qwen2MoeConfig(
        **taken,
        num_experts=experts,
        norm_topk_prob=True,
        moe_intermediate_size=dense.intermediate_size,
        shared_expert_intermediate_size=SILENT,
        qkv_bias=True,
        layer_types=dense.layer_types,
        use_sliding_window=dense.use_sliding_window,
        sliding_window=dense.sliding_window,
    )


def _qwen3_moe(dense: Any, experts: int, **taken: Any) -> Any:
    from transformers import Qwen3MoeConfig

    if "sliding_attention" in dense.layer_types:
        raise SettingError("to_moe: this qwen3 model has layers with a sliding window; Qwen3-MoE has all or none.")
    return Qwen3MoeConfig(
        **taken,
        num_experts=experts,
        norm_topk_prob=True,
        moe_intermediate_size=dense.intermediate_size,
        attention_bias=dense.attention_bias,
    )


MOE: dict[str, Callable[..., Any]] = {
    "llama": _mixtral,
    "mistral": _mixtral,
    "qwen2": _qwen2_moe,
    "qwen3": _qwen3_moe,
}
"""model_type of a dense model → what makes its mixture's config of it, of the number of experts and of `SHARED`."""
