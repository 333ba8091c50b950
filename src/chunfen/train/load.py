"""The model and the tokenizer as a training needs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunfen.models.catalog import fetch
from chunfen.models.loading import Head, LoadedModel, load_model, load_tokenizer, pick_device
from chunfen.settings.model import ModelSettings
from chunfen.train.encode import Encoder

if TYPE_CHECKING:
    import torch


def load_for_training(settings: Any, *, whole: bool, head: Head = "lm", classes: tuple[Any, ...] = ()) -> LoadedModel:
    """The model that is trained.

    whole: the model's own weights learn, so they are float32, whatever it computes in; frozen ones may be less.
    """
    return load_model(
        **_chosen(settings) | ({"torch_dtype": "float32"} if whole else {}),
        head=head,
        classes=classes,
        quant_method=settings.quant_method,
        quant_bits=settings.quant_bits,
    )


def load_reference(settings: Any) -> Any:
    """The model that `ref_model` names."""
    named = {"model": settings.ref_model, "adapters": (), "revision": None}
    return load_model(**_chosen(settings) | named).model


def _chosen(settings: Any) -> dict[str, Any]:
    """How models are loaded here: as the settings say, where they say something."""
    return {name: getattr(settings, name) for name in ModelSettings.model_fields} | {
        "torch_dtype": training_dtype(settings.torch_dtype, settings.device),
        "attn_impl": training_attention(settings.attn_impl, settings.device),
    }


def compute_dtype(settings: Any) -> torch.dtype:
    """The number format in which matrices are multiplied."""
    import torch

    name = training_dtype(settings.torch_dtype, settings.device)
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def training_dtype(wish: str, device: str) -> str:
    """auto: bfloat16 where the processor multiplies it natively, which halves the time; else float32."""
    if wish != "auto":
        return wish
    native = pick_device(device).type != "cpu" or {"avx512_bf16", "amx_bf16"} & _cpu_flags()
    return "bfloat16" if native else "float32"


def training_attention(wish: str, device: str) -> str:
    """Plain matrix products on a processor: for short texts, SDPA's backward pass there is slower."""
    return "eager" if wish == "auto" and pick_device(device).type == "cpu" else wish


def _cpu_flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    return set(path.read_text().split()) if path.exists() else set()


def training_encoder(settings: Any) -> Encoder:
    """How rows become tokens; without max_length a text may be as long as the model's context."""
    from transformers import AutoConfig

    path = fetch(settings.model, hub=settings.hub, revision=settings.revision)
    tokenizer = load_tokenizer(
        settings.model,
        hub=settings.hub,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
        template=settings.template,
    )
    config = AutoConfig.from_pretrained(path, trust_remote_code=settings.trust_remote_code)
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return Encoder(
        tokenizer,
        system=settings.system,
        learn=settings.learn,
        max_length=settings.max_length or context,
        truncation=settings.truncation_strategy,
        max_images=settings.max_images,
    )
