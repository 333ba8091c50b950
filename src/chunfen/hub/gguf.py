"""GGUF to safetensors, once, so that everything above deals with one format."""

from __future__ import annotations

import errno
import io
from contextlib import redirect_stderr
from importlib.metadata import version
from pathlib import Path

from chunfen.hub.quiet import quiet


def convert(gguf: Path, folder: Path, *, bos: str, eos: str, pad: str) -> dict[str, str]:
    """Dequantize a GGUF file into a transformers folder in float32; returns the versions of what did it.

    The values are exactly those of the quantized file. bos, eos, pad: the special tokens as text; readers of
    GGUF disagree about them, so they are set in tokenizer, model config and generation config alike.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    quiet()
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.add_special_tokens({"bos_token": bos, "eos_token": eos, "pad_token": pad})
    tokenizer.padding_side = "right"
    with redirect_stderr(io.StringIO()):  # a progress bar that no setting of transformers reaches
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model.config.update(ids)
    model.generation_config = GenerationConfig(**ids)  # type: ignore[no-untyped-call]
    # A model read from GGUF calls itself quantized and refuses to be saved, but its weights are plain by now.
    model.hf_quantizer = None  # type: ignore[assignment]
    model.is_quantized = False  # type: ignore[assignment]
    for leftover in ("quantization_config", "_model_name_or_path"):
        if hasattr(model.config, leftover):
            delattr(model.config, leftover)
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # it has the operating system's error in words only
        if "No space left on device" in str(error):
            raise OSError(errno.ENOSPC, "No space left on device", str(folder)) from error
        raise
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    return {name: version(name) for name in ("torch", "transformers", "gguf")}
