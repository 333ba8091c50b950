"""Generating replies in batches: prompts as a tree, then token by token, without those that have ended.

Short replies to long prompts are the rule here, so most of the work is in the prompts. They are computed as
trees, like scores: each shared prefix (a system prompt, the words of a template) once, and a prompt that is
asked for several samples once. Then the keys and values along each prompt's path are gathered into its own
cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Cache, DynamicCache, GenerationConfig, LogitsProcessor

from chunfen.data.packing import PackedBatch, PackedRow, collate, group_rows, plan_rows
from chunfen.engines.transformers.cache import RoomyLayer
from chunfen.engines.transformers.scoring import Model, evaluating, read_logits

Choose = Callable[[Tensor, Tensor], Tensor]
"""From logits [rows, vocabulary] and uniform numbers [rows] to tokens [rows]; see `sampling.choose`."""


def generate_tokens(
    model: Model,
    prompts: Sequence[Sequence[int]],
    noise: np.ndarray,
    choose: Choose,
    *,
    stop: frozenset[int],
    batch_tokens: int,
) -> list[list[int]]:
    """The reply to each prompt: the tokens up to and without the first one in ``stop``.

    prompts: token ids, none empty; equal ones are computed once. noise [prompts, most new tokens]: uniform
    numbers. For models that pass `selfcheck.tree_refusal`; `generate_plainly` serves the others.
    """
    with torch.no_grad(), evaluating(model):
        logits, cache, visible = _prefill(model, prompts, noise.shape[1], batch_tokens)
        return _decode(model, logits, cache, visible, noise, choose, stop)


def _decode(
    model: Model,
    logits: Tensor,
    cache: Cache,
    visible: Tensor,
    noise: np.ndarray,
    choose: Choose,
    stop: frozenset[int],
) -> list[list[int]]:
    """Token by token; rows that have ended leave the batch as soon as a quarter of it has."""
    replies: list[list[int]] = [[] for _ in range(len(logits))]
    alive = np.arange(len(logits))  # the reply that each row of the batch writes
    going = np.ones(len(logits), dtype=bool)
    for step in range(noise.shape[1]):
        tokens = choose(logits, torch.from_numpy(noise[alive, step]).to(logits.device))
        for row, token in enumerate(tokens.tolist()):
            going[row] &= token not in stop
            if going[row]:
                replies[alive[row]].append(token)
        if not going.any() or step + 1 == noise.shape[1]:
            break
        if going.mean() <= 0.75:
            keep = torch.from_numpy(np.flatnonzero(going)).to(model.device)
            cache.batch_select_indices(keep)
            tokens, visible = tokens[keep], visible[keep]
            alive, going = alive[going], going[going]
        visible = torch.cat([visible, visible.new_ones(len(visible), 1)], 1)
        logits = model(
            input_ids=tokens[:, None],
            attention_mask=visible,
            position_ids=visible.sum(1, keepdim=True) - 1,
            cache=cache,
            use_cache=True,
        ).logits[:, -1]
    return replies


def _prefill(
    model: Model, prompts: Sequence[Sequence[int]], room: int, batch_tokens: int
) -> tuple[Tensor, Cache, Tensor]:
    """Next-token logits [prompts, vocabulary]; a cache padded on the left, with room for new tokens; its mask [prompts,
    longest]."""
    different = sorted({tuple(prompt) for prompt in prompts})
    rows = plan_rows([(*prompt, 0) for prompt in different], [[len(prompt)] for prompt in different])
    longest = max(map(len, different))
    order: list[int] = []
    logits: list[Tensor] = []
    states: list[list[Tensor]] = []  # for every group of rows: keys and values of each layer, alternating
    for group in group_rows(rows, batch_tokens=batch_tokens, batch_reads=len(different)):
        batch, tree = collate(group), DynamicCache()
        found = read_logits(model, batch, tree=True, cache=tree)
        logits.append(found[torch.from_numpy(batch.pick).to(found.device)])
        row, path = (index.to(found.device) for index in _paths(group, batch, longest))
        states.append([_gather(side, row, path) for keys, values, *_ in tree for side in (keys, values)])
        order.extend(batch.sequence.tolist())
    place = {different[k]: n for n, k in enumerate(order)}
    pick = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=model.device)
    layers: list[Any] = []
    while states[0]:  # each layer's parts are given up as it is put together
        keys, values = (torch.cat([parts.pop(0) for parts in states])[pick] for _ in range(2))
        layers.append(RoomyLayer(keys, values, room))
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
    visible = torch.arange(longest, device=model.device) >= longest - lengths[:, None]
    return torch.cat(logits)[pick], Cache(layers=layers), visible.long()


def _paths(group: Sequence[PackedRow], batch: PackedBatch, longest: int) -> tuple[Tensor, Tensor]:
    """For every prompt of a batch its row [prompts] and the places of its tokens there [prompts, longest]."""
    row = batch.unique[batch.pick] // batch.tokens.shape[1]
    last = batch.unique[batch.pick] % batch.tokens.shape[1]
    path = np.zeros((len(row), longest), dtype=np.int64)
    for k, (r, at) in enumerate(zip(row, last, strict=True)):
        own = np.flatnonzero(group[r].end[: at + 1] > at)
        path[k, longest - len(own) :] = own
    return torch.from_numpy(row), torch.from_numpy(path)


def _gather(states: Tensor, row: Tensor, path: Tensor) -> Tensor:
    """Keys or values [rows, heads, length, size] along paths: [prompts, heads, longest, size]."""
    return states.transpose(1, 2)[row[:, None], path].transpose(1, 2).contiguous()


class _Chooser(LogitsProcessor):
    """Lets `choose` decide within transformers' own greedy loop: it rules out every token but the chosen."""

    def __init__(self, noise: np.ndarray, choose: Choose) -> None:
        self.noise, self.choose, self.step = noise, choose, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        chosen = self.choose(scores, torch.from_numpy(self.noise[:, self.step]).to(scores.device))
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)


def generate_plainly(
    model: Model,
    prompts: Sequence[Sequence[int]],
    noise: np.ndarray,
    choose: Choose,
    *,
    stop: frozenset[int],
    batch_tokens: int,
) -> list[list[int]]:
    """The same by ``model.generate``, for models that cannot be given trees."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    settings = GenerationConfig(  # type: ignore[no-untyped-call]  # what is not set here would be taken from the model's own habits
        max_new_tokens=noise.shape[1],
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=sorted(stop),
        pad_token_id=min(stop),
    )
    with torch.no_grad(), evaluating(model):
        written = model.generate(
            inputs=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=settings,
            logits_processor=[_Chooser(noise, choose)],
        )
    return [_until(reply, stop) for reply in written[:, longest:].tolist()]


def _until(tokens: list[int], stop: frozenset[int]) -> list[int]:
    return tokens[: next((k for k, token in enumerate(tokens) if token in stop), len(tokens))]
