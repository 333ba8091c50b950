"""The router of a mixture: where it starts, and its training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chunfen.data.encode import Tokens
from chunfen.errors import ChunfenError
from chunfen.export.moe.routing import experts_at_work, routers

log = logging.getLogger(__name__)

LEAD = 2.0
"""Logit that an expert starts with over the average token, on the average token of its own rows."""
NOISE = 0.02
"""Standard deviation of router weights where no rows place them, as in Mixtral."""
IGNORED = -100


@torch.no_grad()
def mean_states(model: Any, rows: Sequence[Tokens]) -> Tensor:
    """The mean over all tokens of what each layer's MLP is given: [layers, hidden]."""
    layers = model.model.layers
    sums, count = torch.zeros(len(layers), model.config.hidden_size), 0

    def listen(number: int) -> Any:
        def add(module: Any, arguments: tuple[Tensor, ...]) -> None:
            sums[number] += arguments[0].detach().float().sum((0, 1)).cpu()

        return add

    hooks = [layer.mlp.register_forward_pre_hook(listen(number)) for number, layer in enumerate(layers)]
    try:
        for row in rows:
            model(input_ids=torch.tensor([row.ids], device=model.device))
            count += len(row.ids)
    finally:
        for hook in hooks:
            hook.remove()
    return sums / count


def directions(means: Tensor) -> Tensor:
    """Router weights [layers, experts, hidden] from mean states [experts, layers, hidden].

    Each expert looks along what sets its rows apart from the average of all, without the direction of that average:
    so no expert leads on an average token, and each leads by `LEAD` on the mean token of its own rows. Rows that are
    not apart give zeros.

    >>> means = torch.tensor([[[1.0, 1.0, 0.0]], [[1.0, -1.0, 0.0]]])
    >>> directions(means).tolist()
    [[[0.0, 2.0, 0.0], [0.0, -2.0, 0.0]]]
    """
    center = means.mean(0)
    apart = means - center
    axis = center / center.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    apart = apart - (apart * axis).sum(-1, keepdim=True) * axis
    squared = apart.pow(2).sum(-1, keepdim=True)
    found = torch.where(squared > 1e-12, LEAD * apart / squared.clamp_min(1e-12), torch.zeros_like(apart))
    return found.transpose(0, 1).contiguous()


@torch.no_grad()
def place(model: Any, weights: Tensor | None, seed: int) -> None:
    """Set the routers: to weights [layers, experts, hidden], or to small random numbers where there are none."""
    if weights is None:
        shape = (len(routers(model)), *routers(model)[0].weight.shape)
        weights = NOISE * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    for router, wanted in zip(routers(model), weights, strict=True):
        router.weight.copy_(wanted)


def train(
    model: Any, sets: Sequence[Sequence[Tokens]], *, steps: int, learning_rate: float, aux_loss_coef: float
) -> None:
    """Train the routers alone, each step on the next row of every set: loss of the rows plus load balancing.

    At least two experts work on each token meanwhile: a single one has weight 1 whatever the router says of it, and
    nothing would be learned. The learning rate falls linearly to 0.
    """
    model.requires_grad_(False)
    weights = [router.weight.requires_grad_(True) for router in routers(model)]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=max(steps, 1))
    before, model.router_aux_loss_coef = model.router_aux_loss_coef, aux_loss_coef
    with experts_at_work(model, max(2, model.num_experts_per_tok)):
        for step in range(steps):
            batch = collate([rows[step % len(rows)] for rows in sets], model.device)
            found = model(**batch, output_router_logits=True)
            if not torch.isfinite(found.loss):
                raise ChunfenError(
                    f"step {step + 1} of the router: the loss is not finite; lower router_learning_rate."
                )
            found.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            if step % 20 == 0 or step == steps - 1:
                log.info("Router, step %d of %d: loss %.3f, balance %.3f", step + 1, steps, found.loss, found.aux_loss)
    model.router_aux_loss_coef = before
    model.requires_grad_(False)


def collate(rows: Sequence[Tokens], device: torch.device) -> dict[str, Tensor]:
    """Rows side by side, padded on the right: ids, mask and labels, each [rows, tokens]."""
    longest = max(len(row.ids) for row in rows)
    shape = (len(rows), longest)
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED)
    for number, row in enumerate(rows):
        length = len(row.ids)
        ids[number, :length] = torch.tensor(row.ids)
        mask[number, :length] = 1
        labels[number, :length] = torch.where(torch.tensor(row.learned), ids[number, :length], IGNORED)
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device), "labels": labels.to(device)}
