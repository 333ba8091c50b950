"""How the model is made trainable."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from chunfen.errors import SettingError, did_you_mean
from chunfen.settings.base import Settings

TUNER_TYPES = {
    "full": "every weight",
    "freeze": "the last weights, or named ones",
    "lisa": "embeddings, head, and a few layers drawn anew now and then",
    "galore": "every weight, by gradients of low rank",
    "llamapro": "new layers between the old ones",
    "lora": "a low-rank update beside linear layers",
    "adalora": "the same, with ranks that go where they matter",
    "vera": "two vectors for each linear layer, around shared random matrices",
    "ia3": "one vector of scales for each key, value and MLP layer",
    "boft": "rotations of linear layers, in butterfly form",
    "oft": "rotations of linear layers, in blocks",
    "reft": "an edit of the hidden states behind some layers",
}
"""Built-in tuner_type → what it trains. `chunfen.tuners.TUNERS` finds each in the module of its name."""

TUNER_HELP = (
    "What is trained. " + "; ".join(f"{name}: {what}" for name, what in TUNER_TYPES.items()) + ". See docs/tuners.md."
)


def _tuner_type(name: str) -> str:
    """A name that the registry of tuners knows, found out without importing one."""
    known = [*TUNER_TYPES, *(point.name for point in entry_points(group="chunfen.tuner"))]
    if name not in known:
        hint = did_you_mean(name, known)
        raise SettingError(f"tuner_type {name!r} is not known.{hint} It takes: {', '.join(known)}.")
    return name


def _number(value: Any) -> Any:
    """A choice among numbers may come as text from a command line."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class TunerSettings(Settings):
    """What is trained, and how much of it."""

    tuner_type: Annotated[
        str, AfterValidator(_tuner_type), Field(description=TUNER_HELP, json_schema_extra={"examples": [*TUNER_TYPES]})
    ] = "lora"
    target_modules: tuple[str, ...] = ("all-linear",)
    """Which linear layers get an adapter: names; all-linear: every one but the head; residual: the output layers of
    attention and MLP, which write into the residual stream."""
    modules_to_save: tuple[str, ...] = ()
    """Modules that are trained whole beside the adapter, and saved with it, such as embed_tokens or lm_head."""
    lora_rank: Count = 8
    """Rank r of the LoRA update BA."""
    lora_alpha: Positive = 32.0
    """LoRA scale; the update is multiplied by alpha / rank."""
    lora_dropout: Dropout = 0.05
    """Dropout before the update. What texts of a batch begin with in common is computed, and dropped, once for all."""
    use_rslora: bool = False
    """Multiply the update by alpha / √rank instead (rsLoRA), so that large ranks learn as fast as small ones."""
    use_dora: bool = False
    """Train length and direction of the weights apart (DoRA)."""
    lorap_lr_ratio: Annotated[float | None, Field(ge=1)] = None
    """Learning rate of B over that of A (LoRA+), often 16; none: the same."""
    init_weights: Literal["default", "gaussian", "pissa", "pissa_niter_16", "olora", "loftq"] = "default"
    """What a LoRA begins with. default, gaussian: no update. pissa (niter_16: quick and approximate), olora: the main
    part of the weights themselves. loftq: what 4-bit quantization lost."""
    adalora_init_r: Count = 12
    """AdaLoRA: rank of every layer at the beginning."""
    adalora_target_r: Count = 8
    """AdaLoRA: mean rank at the end."""
    adalora_tinit: Annotated[int | None, Field(ge=0)] = None
    """AdaLoRA: steps before ranks fall; none: a tenth of all."""
    adalora_tfinal: Annotated[int | None, Field(ge=0)] = None
    """AdaLoRA: steps at the end in which ranks stay; none: three tenths of all."""
    adalora_delta_t: Count = 1
    """AdaLoRA: steps between two allocations of ranks."""
    adalora_orth_reg_weight: Annotated[float, Field(ge=0)] = 0.5
    """AdaLoRA: weight of the term that keeps its factors orthogonal."""
    vera_rank: Count = 256
    """VeRA: rank of the shared random matrices."""
    vera_dropout: Dropout = 0.0
    """VeRA: dropout before the update."""
    vera_d_initial: Positive = 0.1
    """VeRA: where the inner vector begins."""
    boft_block_size: Count = 4
    """BOFT: size of a block; divides the width of the layers."""
    boft_n_butterfly_factor: Count = 1
    """BOFT: butterfly factors; with 1 it is OFT."""
    boft_dropout: Dropout = 0.0
    """BOFT: share of blocks that are left out of a step."""
    oft_block_size: Count = 32
    """OFT: size of a block; divides the width of the layers."""
    llamapro_num_new_blocks: Count = 4
    """LLaMA-Pro: new layers, spread evenly over the model."""
    freeze_parameters_ratio: Share = 0.8
    """freeze: share of the weights, counted from the embeddings on, that stay as they are."""
    trainable_parameters: tuple[str, ...] = ()
    """freeze: beginnings of the names of weights that are trained whatever the ratio says, such as lm_head."""
    reft_rank: Count = 4
    """ReFT: dimensions of the hidden state that are edited."""
    reft_layers: tuple[int, ...] = ()
    """ReFT: layers behind which to edit, counted from 0; none: behind every one."""
    reft_positions: Annotated[str, Field(pattern=r"^(all|f[1-9][0-9]*)$")] = "all"
    """ReFT: all: every token; f4: the first four of each text."""
    lisa_activated_layers: Count = 2
    """LISA: layers that are trained at a time."""
    lisa_step_interval: Count = 20
    """LISA: steps after which they are drawn anew."""
    galore_rank: Count = 128
    """GaLore: rank of the gradients."""
    galore_update_proj_gap: Count = 200
    """GaLore: steps after which the subspace of the gradients is found anew."""
    galore_scale: Positive = 0.25
    """GaLore: scale of the update, as alpha of LoRA."""
    neftune_noise_alpha: Annotated[float | None, Field(gt=0)] = None
    """Noise on the embeddings while training (NEFTune), often 5; none: no noise."""
    quant_method: Literal["bnb"] = "bnb"
    """How the frozen weights are quantized if quant_bits is given. bnb: bitsandbytes."""
    quant_bits: Annotated[Literal[4, 8] | None, BeforeValidator(_number)] = None
    """Bits of a frozen weight. 4 with tuner_type lora is QLoRA (NF4). none: no quantization."""


class RepairTunerSettings(TunerSettings):
    """What a repair trains: few layers and no dropout."""

    target_modules: tuple[str, ...] = ("residual",)
    """Which linear layers get an adapter: names; all-linear: every one but the head; residual: the output layers of
    attention and MLP, which write into the residual stream."""
    lora_rank: Count = 16
    """Rank r of the LoRA update BA."""
    lora_alpha: Positive = 64.0
    """LoRA scale; the update is multiplied by alpha / rank."""
    lora_dropout: Dropout = 0.0
    """Dropout before the update. A repair needs 0: it computes prompts that texts share once."""
