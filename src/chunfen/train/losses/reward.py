"""The loss of a reward model."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def bradley_terry(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0, center: float = 0.0) -> Tensor:
    """How surprising it is that the chosen text won (Bradley and Terry 1952; Ouyang et al. 2022, equation 1).

    chosen, rejected [rows]: rewards. margin [rows]: by how much the chosen text is to lead (Touvron et al. 2023,
    equation 2). center: weight of the squared sum of both, which keeps rewards around 0 (Eisenstein et al. 2023,
    equation 2; `center_rewards_coefficient`). Returns [rows].

    >>> import torch
    >>> bradley_terry(torch.tensor([3.0]), torch.tensor([1.0]))
    tensor([0.1269])
    >>> bradley_terry(torch.tensor([3.0]), torch.tensor([1.0]), margin=2.0, center=0.01)
    tensor([0.8531])
    """
    return -F.logsigmoid(chosen - rejected - margin) + center * (chosen + rejected) ** 2


def reward_gains(chosen: Tensor, rejected: Tensor) -> dict[str, Tensor]:
    """What is worth watching: each [rows], without gradients.

    >>> import torch
    >>> {name: value.item() for name, value in reward_gains(torch.tensor([3.0]), torch.tensor([1.0])).items()}
    {'accuracy': 1.0, 'margin': 2.0}
    """
    chosen, rejected = chosen.detach(), rejected.detach()
    return {"accuracy": (chosen > rejected).float(), "margin": chosen - rejected}
