"""What a router does: which experts the tokens go to, and what the model loses by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from chunfen.data.encode import Tokens


def routers(model: Any) -> list[Any]:
    """The router of each layer."""
    return [layer.mlp.gate for layer in model.model.layers]


@contextmanager
def experts_at_work(model: Any, count: int) -> Iterator[None]:
    """Let so many experts work on each token, for a while."""
    before = model.num_experts_per_tok
    for part in (model, *routers(model)):
        setattr(part, "num_experts_per_tok" if part is model else "top_k", count)
    try:
        yield
    finally:
        for part in (model, *routers(model)):
            setattr(part, "num_experts_per_tok" if part is model else "top_k", before)


@contextmanager
def only_expert(model: Any, expert: int) -> Iterator[None]:
    """Send every token to one expert, for a while."""

    def send(module: Any, arguments: Any, output: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        logits, scores, chosen = output
        return logits, torch.ones_like(scores[:, :1]), torch.full_like(chosen[:, :1], expert)

    hooks = [router.register_forward_hook(send) for router in routers(model)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def expert_shares(model: Any, rows: Sequence[Tokens]) -> list[float]:
    """For each expert, the share of tokens that choose it first, over all layers. They sum to 1."""
    counts = torch.zeros(routers(model)[0].weight.shape[0])
    for row in rows:
        ids = torch.tensor([row.ids], device=model.device)
        for logits in model(input_ids=ids, output_router_logits=True).router_logits:
            counts += torch.bincount(logits.argmax(-1).cpu(), minlength=len(counts))
    return (counts / counts.sum()).tolist()


@torch.no_grad()
def loss_of(model: Any, rows: Sequence[Tokens]) -> float:
    """Mean negative log-probability of the learned tokens, in nats per token."""
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row.ids], device=model.device)
        logprobs = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
        learned = torch.tensor(row.learned[1:], device=model.device)
        picked = logprobs.gather(-1, ids[0, 1:, None])[learned]
        total, count = total - float(picked.sum()), count + len(picked)
    return total / count
