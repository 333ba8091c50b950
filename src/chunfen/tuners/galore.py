"""GaLore (Zhao et al. 2024): full tuning in which Adam sees the gradient of a matrix in a subspace of low rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import Trainer, TrainingArguments
from transformers.training_args import OptimizerNames

from chunfen.errors import SettingError
from chunfen.tuners.base import Tuner, refuse_adapter, to_float32
from chunfen.tuners.layers import decoder_layers, is_linear


class Method(Tuner):
    """Every weight is trained, in float32. The matrices of the layers take Adam states of galore_rank only.

    transformers can call the package galore-torch for this, but its optimizer keeps objects in its state, which a
    checkpoint cannot give back.
    """

    options = frozenset({"galore_rank", "galore_update_proj_gap", "galore_scale"})

    def attach(self, model: Any) -> Any:
        refuse_adapter(model, self.settings.tuner_type)
        if not self._projected(model):
            raise SettingError(f"galore_rank {self.settings.galore_rank}: no layer is wider than that. Lower it.")
        model.requires_grad_(True)
        to_float32(model)
        return model

    def optimizer(self, arguments: TrainingArguments) -> Optimizer:
        """AdamW with low-rank states for the matrices; all else as the Trainer has it."""
        optim = OptimizerNames(arguments.optim).value
        if not optim.startswith("adamw_torch"):
            raise SettingError(f"optim {optim}: tuner_type galore brings its own optimizer, an AdamW.")
        low = {id(weight) for weight in self._projected(self.model)}
        decayed = set(Trainer.get_decay_parameter_names(cast(Any, None), self.model))  # it asks nothing of a trainer
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            groups.setdefault((id(parameter) in low, name in decayed), []).append(parameter)
        settings = self.settings
        projection = {
            "rank": settings.galore_rank,
            "gap": settings.galore_update_proj_gap,
            "scale": settings.galore_scale,
        }
        return GaLoreAdamW(
            [
                {"params": members, "weight_decay": arguments.weight_decay if decay else 0.0}
                | (projection if is_low else {})
                for (is_low, decay), members in groups.items()
            ],
            lr=arguments.learning_rate,
            betas=(arguments.adam_beta1, arguments.adam_beta2),
            eps=arguments.adam_epsilon,
        )

    def _projected(self, model: nn.Module) -> list[nn.Parameter]:
        """The matrices of the layers that are wider and longer than the rank."""
        linear = [module for module in decoder_layers(model).modules() if is_linear(module)]
        weights: list[Any] = [module.weight for module in linear]
        return [weight for weight in weights if min(weight.shape) > self.settings.galore_rank]


class GaLoreAdamW(Optimizer):
    """AdamW; in groups with a rank, on gradients projected to that rank (algorithm 2 of the paper).

    groups: besides lr, betas, eps and weight_decay, rank, gap (steps between new subspaces) and scale.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0, "rank": None})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        step = state["step"] = int(state.get("step", 0)) + 1
        low = gradient
        if group["rank"]:
            if (step - 1) % group["gap"] == 0:
                state["basis"] = subspace(gradient, group["rank"])
            low = projected(gradient, state["basis"])
        mean = state.setdefault("exp_avg", torch.zeros_like(low))
        square = state.setdefault("exp_avg_sq", torch.zeros_like(low))
        beta1, beta2 = group["betas"]
        mean.lerp_(low, 1 - beta1)
        square.mul_(beta2).addcmul_(low, low, value=1 - beta2)
        update = (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + group["eps"])
        if group["rank"]:
            update = group["scale"] * restored(update, state["basis"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])


def subspace(gradient: Tensor, rank: int) -> Tensor:
    """An orthonormal basis of the main directions on the shorter side of a gradient [m, n].

    Returns [rank, n] if m ≥ n, else [m, rank].
    """
    left, _, right = torch.linalg.svd(gradient.float(), full_matrices=False)
    basis: Tensor = right[:rank] if gradient.shape[0] >= gradient.shape[1] else left[:, :rank]
    return basis.to(gradient.dtype).contiguous()


def projected(gradient: Tensor, basis: Tensor) -> Tensor:
    """A gradient in the subspace of a basis.

    >>> gradient = torch.tensor([[3.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    >>> basis = subspace(gradient, 1)
    >>> projected(gradient, basis).shape
    torch.Size([3, 1])
    >>> torch.allclose(restored(projected(gradient, basis), basis), gradient)
    True
    """
    return gradient @ basis.T if basis.shape[1] == gradient.shape[1] else basis.T @ gradient


def restored(low: Tensor, basis: Tensor) -> Tensor:
    """The matrix that a projected one stands for; the inverse of `projected` within the subspace."""
    return low @ basis if low.shape[1] == basis.shape[0] else basis @ low
