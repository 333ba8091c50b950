"""What `chunfen merge` can be told: which adapters become part of a model, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings
from chunfen.settings.model import ModelSettings
from chunfen.settings.run import CommonSettings

Method = Literal["sequential", "linear", "ties", "dare_linear", "dare_ties"]


class MergeSettings(ModelSettings):
    """What is merged, how, and where to."""

    output: Path | None = None
    """Folder of the new model. It must not exist yet: nothing is overwritten."""
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the written weights; auto: the one that the model is stored in."""
    merge_dtype: Literal["float32", "written"] = "float32"
    """Number format in which the merge is computed and checked. float32 needs 4 bytes of memory per parameter; written:
    that of the written weights, which needs half of it, and a check as coarse as its rounding."""
    device: str = "cpu"
    """Where the merge is computed: cpu, cuda, cuda:1 …; the whole model must fit there."""
    max_shard_size: str = "5GB"
    """Largest file of weights; a larger model is written as several."""
    merge_method: Method = "sequential"
    """sequential: one adapter after the other, each at its full strength. Or how the changes that several adapters
    make are combined: linear: their weighted sum; ties: the largest of each, those that agree in sign averaged (Yadav
    et al. 2023); dare_linear, dare_ties: the same after dropping changes at random and scaling up the rest (Yu et
    al. 2023)."""
    weights: tuple[float, ...] = ()
    """Weight of each adapter in a combination; none: 1/N each where changes are summed, 1 each where they are
    averaged (ties, dare_ties)."""
    density: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of each adapter's changes that ties and the dare methods keep; none: 0.5."""
    seed: int = 42
    """Seed of what is drawn at random: the changes that dare drops, the first router, the order of rows."""


class MoeSettings(Settings):
    """A mixture of experts instead of one dense model."""

    to_moe: bool = False
    """Build a mixture of experts: in every layer one expert per adapter, and a router that picks for each token."""
    num_experts_per_tok: Annotated[int, Field(ge=1)] = 2
    """Experts that work on each token."""
    moe_attention: Literal["base", "average"] = "base"
    """Attention, which all experts share: as it is in the base model, or with the average of the adapters' changes."""
    router_data: tuple[str, ...] = ()
    """Data sets, one per adapter in the same order: what that expert is for. Written as for --dataset: a name, a hub id
    or a file. They place the router, train it, and show how it routes. none: the router stays random."""
    router_steps: Annotated[int, Field(ge=0)] = 60
    """Training steps of the router, each on one row of every data set; 0: it stays as it was placed."""
    router_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of the router."""
    router_aux_loss_coef: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the load-balancing loss, which keeps every expert at work."""
    router_max_length: Annotated[int, Field(ge=2)] = 512
    """Tokens of a row, at most; of a longer one the end is used."""
    router_eval_rows: Annotated[int, Field(ge=1)] = 16
    """Rows of each data set that are kept out of the training, to measure on; of a small one, half."""


class MergeCommand(MergeSettings, MoeSettings, CommonSettings):
    """Everything that `chunfen merge` can be told."""
