"""What each stage of training can be told beyond data, tuner and schedule: the terms of its loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from chunfen.settings.base import Settings

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=0.5)]
Beta = Annotated[float, Field(gt=0)]


class FinetuneSettings(Settings):
    """Learning answers, or classes."""

    task_type: Literal["causal_lm", "seq_cls"] = "causal_lm"
    """causal_lm: learn the answers of conversations. seq_cls: learn the labels of texts, with a new head."""
    num_labels: Annotated[int, Field(ge=2)] | None = None
    """Classes of seq_cls; none: as many as the rows have."""
    loss_type: Literal["nll", "dft"] = "nll"
    """nll: cross-entropy of each token. dft: the same weighted by the token's own probability (Wu et al. 2025)."""


class ReferenceSettings(Settings):
    """What the trained model is compared with."""

    ref_model: str | None = None
    """Reference model; none: the model as it is before this training."""
    reference_free: bool = False
    """Use no reference: its log-probabilities count as equal."""


class DpoSettings(ReferenceSettings):
    """Direct preference optimisation: the chosen answer rather than the rejected one."""

    rlhf_type: Literal["dpo"] = "dpo"
    """What `chunfen rlhf` was asked for."""
    loss_type: tuple[str, ...] = ("sigmoid",)
    """Loss, or several that are added (see docs/training.md): sigmoid, hinge, ipo, robust, exo_pair, apo_zero …"""
    loss_weights: tuple[float, ...] = ()
    """Weight of each loss; none: 1 each."""
    beta: Beta = 0.1
    """How far the model may move from the reference: the smaller, the farther."""
    label_smoothing: Share = 0.0
    """Share of pairs that are taken to be labelled the wrong way round."""
    rpo_alpha: Weight | None = None
    """Weight of the likelihood of the chosen answer, beside the preference; none: not used."""
    discopop_tau: Beta = 0.05
    """Temperature of the loss discopop."""
    f_divergence_type: Literal["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"] = "reverse_kl"
    """How the distance from the reference is measured (f-DPO, Wang et al. 2023)."""
    f_alpha_divergence_coef: float = 0.5
    """Coefficient of alpha_divergence: 1 is reverse_kl, 0 is forward_kl."""


class SimpoSettings(Settings):
    """Preference per token, without a reference (Meng et al. 2024)."""

    rlhf_type: Literal["simpo"] = "simpo"
    """What `chunfen rlhf` was asked for."""
    beta: Beta = 2.0
    """Steepness of the preference."""
    simpo_gamma: Weight = 1.0
    """The lead that is asked for, times beta, in nats per token."""
    cpo_alpha: Weight = 0.0
    """Weight of the likelihood of the chosen answer."""


class CpoSettings(Settings):
    """Contrastive preference optimisation: preference and likelihood, without a reference (Xu et al. 2024)."""

    rlhf_type: Literal["cpo"] = "cpo"
    """What `chunfen rlhf` was asked for."""
    loss_type: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """Form of the preference."""
    beta: Beta = 0.1
    """Steepness of the preference."""
    label_smoothing: Share = 0.0
    """Share of pairs that are taken to be labelled the wrong way round."""
    cpo_alpha: Weight = 1.0
    """Weight of the likelihood of the chosen answer."""


class OrpoSettings(Settings):
    """Odds-ratio preference beside fine-tuning, without a reference (Hong et al. 2024)."""

    rlhf_type: Literal["orpo"] = "orpo"
    """What `chunfen rlhf` was asked for."""
    beta: Beta = 0.1
    """Weight of the odds ratio beside the likelihood of the chosen answer."""


class KtoSettings(ReferenceSettings):
    """Single answers that are wanted or not, instead of pairs (Ethayarajh et al. 2024)."""

    rlhf_type: Literal["kto"] = "kto"
    """What `chunfen rlhf` was asked for."""
    beta: Beta = 0.1
    """How far the model may move from the reference: the smaller, the farther."""
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    """kto: against the divergence from the reference. apo_zero_unpaired: against none."""
    desirable_weight: Weight = 1.0
    """Weight of wanted answers."""
    undesirable_weight: Weight = 1.0
    """Weight of unwanted answers."""


class RewardSettings(Settings):
    """A model that scores answers, from pairs of better and worse ones."""

    rlhf_type: Literal["rm"] = "rm"
    """What `chunfen rlhf` was asked for."""
    center_rewards_coefficient: Weight | None = None
    """Weight that pulls the rewards of a pair towards 0; none: not used."""
