"""From a name to a model in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chunfen.errors import SettingError
from chunfen.hub.quiet import quiet
from chunfen.models.adapters import adapter_folder, with_adapters
from chunfen.models.catalog import ModelSpec, fetch, resolve
from chunfen.models.fingerprint import fingerprint
from chunfen.models.quantized import keep_layout, quantization
from chunfen.models.templates import choose_template, render

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Head = Literal["lm", "classes", "score"]
"""What a model says of a text: the next tokens, the logits of classes, or one number."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory with all that is needed to ask it.

    model: in evaluation mode, on ``device``; with an adapter around it if adapters were given. path: where it was read
    from. fingerprint: hash over weights, config, tokenizer, template, adapters, dtype and system prompt.
    system: the system prompt that chats begin with; None: what the template says.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    spec: ModelSpec
    path: Path
    device: torch.device
    fingerprint: str
    system: str | None = None
    adapters: tuple[Path, ...] = ()

    def chat_ids(self, messages: Iterable[tuple[str, str]], *, add_generation_prompt: bool = True) -> list[int]:
        """Token ids of a chat by the model's template; see `chunfen.models.templates.render`."""
        return render(self.tokenizer, messages, system=self.system, add_generation_prompt=add_generation_prompt)


def load_model(
    model: str | ModelSpec = "smollm2-135m-instruct",
    *,
    adapters: Sequence[str | Path] = (),
    hub: str = "auto",
    revision: str | None = None,
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    attn_impl: Literal["auto", "eager", "sdpa"] = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    system: str | None = None,
    template: str | None = None,
    quant_method: Literal["bnb"] = "bnb",
    quant_bits: Literal[4, 8] | None = None,
    head: Head = "lm",
    classes: Sequence[Any] = (),
) -> LoadedModel:
    """Fetch a model if it is not there yet, and load it for use.

    model: a catalogued name, ``org/name`` or a folder. adapters: folders of adapters, applied in order.
    torch_dtype auto: float32 on a CPU, bfloat16 on a GPU. quant_bits: quantize the weights of the layers while
    loading, by quant_method; torch_dtype is then that of everything else. template: name of a shipped chat template.
    head: what the model says of a text; where its files have no head for classes or a score, a new one is drawn from
    torch's generator. Weights are read from safetensors, never from pickles. Raises SettingError for a setting that
    cannot be used, HubError where the model cannot be had.

    Example: ``load_model().chat_ids([("user", "Hi")])``.
    """
    spec = resolve(model)
    folders = [adapter_folder(adapter) for adapter in adapters]
    path = fetch(spec, hub=hub, revision=revision)
    quiet()
    _forget_kernels()
    target = pick_device(device)
    dtype = pick_dtype(torch_dtype, target)
    few_bits = quantization(quant_method, quant_bits, dtype, target)
    tokenizer = _tokenizer(path, trust_remote_code)
    choose_template(tokenizer, template, spec.template)
    own: dict[str, Any] = {} if attn_impl == "auto" else {"attn_implementation": attn_impl}
    own |= few_bits | _outputs(head, classes, tokenizer)
    plain = _read(path, head, dtype=dtype, trust_remote_code=trust_remote_code, **own)
    keep_layout(plain)
    on_device: Any = plain if few_bits else plain.to(target)  # type: ignore[arg-type]  # wrapped by transformers
    loaded = with_adapters(on_device, folders, spec.name)
    asked = {"quantization": f"{quant_method} {quant_bits}"} if quant_bits else {}
    asked |= {"template": template} if template else {}
    return LoadedModel(
        model=loaded.eval(),
        tokenizer=tokenizer,
        spec=spec,
        path=path,
        device=target,
        fingerprint=fingerprint([path, *folders], {"dtype": str(dtype), "system": system} | asked),
        system=system,
        adapters=tuple(folders),
    )


def load_tokenizer(
    model: str | ModelSpec,
    *,
    hub: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    template: str | None = None,
) -> PreTrainedTokenizerBase:
    """A model's tokenizer alone; names and errors as for `load_model`."""
    spec = resolve(model)
    path = fetch(spec, hub=hub, revision=revision)
    quiet()
    tokenizer = _tokenizer(path, trust_remote_code)
    choose_template(tokenizer, template, spec.template)
    return tokenizer


def _forget_kernels() -> None:
    """oneDNN keeps its kernels for the last 1024 shapes, some 0.5 GB. Batches of texts have ever new shapes."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")  # read once, at the first product of matrices


def pick_device(device: str) -> torch.device:
    """The torch device of a setting; auto: a GPU where there is one. SettingError if it is not here."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:  # AssertionError: "Torch not compiled with CUDA enabled"
        reason = str(error).splitlines()[0]
        raise SettingError(
            f"device {device!r} cannot be used here: {reason}. Give cpu, cuda, cuda:1 … or auto."
        ) from None
    return picked


def pick_dtype(torch_dtype: str, device: torch.device) -> torch.dtype:
    """The number format of a setting; auto: float32 on a CPU, bfloat16 elsewhere."""
    import torch

    if torch_dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if torch_dtype not in dtypes:
        raise SettingError(f"torch_dtype {torch_dtype!r}: give auto, {', '.join(dtypes)}.")
    return dtypes[torch_dtype]


def _outputs(head: Head, classes: Sequence[Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The config of a model that judges texts, by their last token that is no padding."""
    if head == "lm":
        return {}
    names = {place: str(name) for place, name in enumerate(classes)} if head == "classes" else {0: "score"}
    return {
        "id2label": names,
        "label2id": {name: place for place, name in names.items()},
        "pad_token_id": tokenizer.pad_token_id,
    }


def _read(path: Path, head: Head, **options: Any) -> PreTrainedModel:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind: Any = AutoModelForCausalLM if head == "lm" else AutoModelForSequenceClassification
    try:
        loaded: Any = kind.from_pretrained(path, use_safetensors=True, output_loading_info=True, **options)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        raise SettingError(f"model folder {path} cannot be loaded: {_advice(error)}") from error
    model: PreTrainedModel = loaded[0]
    # transformers puts random numbers in the place of missing weights, which only a new head may have
    own = f"{model.base_model_prefix}."
    if missing := sorted(key for key in loaded[1]["missing_keys"] if head == "lm" or key.startswith(own)):
        what = f"{len(missing)} weights are missing, among them {missing[0]}"
        raise SettingError(f"model folder {path} cannot be loaded: {what}.")
    return model


def _tokenizer(path: Path, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise SettingError(f"model folder {path} cannot be loaded: {_advice(error)}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _advice(error: Exception) -> str:
    """The first line of a library's error, with what to do about the two that users meet."""
    text = str(error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    if "trust_remote_code" in text:
        return "it brings its own code. If you have read and trust that code, add --trust_remote_code true."
    if "safetensors" in text:
        return f"it has no safetensors weights, and pickled ones are not read: they can run code. ({first})"
    return first
