"""One forward pass over the texts of some rows: shared prefixes once, the head only where something is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from peft.helpers import disable_input_dtype_casting
from torch import Tensor

from chunfen.data.packing import PackedBatch, collate, join_rows, plan_rows
from chunfen.engines.transformers.logprobs import picked_logprobs
from chunfen.engines.transformers.scoring import read_logits
from chunfen.train.encode import EncodedRow

JOINED = 128
"""Rows of a step are filled up to this many tokens."""


@dataclass(frozen=True, slots=True)
class TextBatch:
    """The texts of some rows, packed.

    rows: the rows. first [rows]: index of each row's first text; its second one, if any, is the next.
    kept: one (text, position) for each distribution wanted besides the tokens' own log-probabilities, where position
    counts the read tokens of the text. owner [kept]: the row that it belongs to. place [kept]: where it is read.
    """

    rows: tuple[EncodedRow, ...]
    packed: PackedBatch
    first: Tensor
    owner: Tensor
    place: Tensor
    texts: int


def pack_rows(rows: Sequence[EncodedRow], *, tree: bool = True) -> TextBatch:
    """Plan one forward pass. tree: False for models that cannot attend to a tree (see the engine's self-check)."""
    texts = [text for row in rows for text in row.texts]
    reads = [range(text.start, len(text.ids)) for text in texts]
    planned = plan_rows([text.ids for text in texts], reads, max_tokens=JOINED, branch=tree)
    packed = collate(join_rows(planned, max_tokens=JOINED) if tree else planned)
    first = np.cumsum([0, *(len(row.texts) for row in rows)])[:-1]
    begins = {int(s): int(k) for k, s in reversed(list(enumerate(packed.sequence)))}
    wanted = [(k, begins[int(first[k])] + p) for k, row in enumerate(rows) for p in distributions(row)]
    return TextBatch(
        rows=tuple(rows),
        packed=packed,
        first=torch.from_numpy(first),
        owner=torch.tensor([k for k, _ in wanted], dtype=torch.long),
        place=torch.from_numpy(packed.pick[[r for _, r in wanted]]),
        texts=len(texts),
    )


def distributions(row: EncodedRow) -> range:
    """At which read positions of the chosen text the whole distribution is aimed at.

    keep: at all of them. parity: at the first, if there the two texts part with the same words before them.
    """
    chosen = row.texts[0]
    if row.row.objective == "keep":
        return range(len(chosen.ids) - chosen.start)
    if row.row.objective == "parity" and row.row.rejected_prompt is None:
        return range(1)
    return range(0)


@dataclass(frozen=True, slots=True)
class Scored:
    """sums, means [texts]: the log-probability of each text, whole and per token.
    kept [kept, K]: log-probabilities of the K tokens asked for at each wanted distribution."""

    sums: Tensor
    means: Tensor
    kept: Tensor


def row_logits(model: Any, batch: TextBatch, *, tree: bool = True) -> Tensor:
    """The forward pass: logits [read positions, vocabulary]; gradients flow if they are on."""
    with _own_precision(model):
        return read_logits(model, batch.packed, tree=tree)


@contextmanager
def _own_precision(model: Any) -> Iterator[None]:
    """In a half-precision model the few fp32 weights of an adapter are rounded; PEFT would widen all activations."""
    if model.dtype == torch.float32:
        yield
        return
    with torch.autocast(model.device.type, model.dtype), disable_input_dtype_casting(model):
        yield


def score(logits: Tensor, batch: TextBatch, ids: Tensor | None = None) -> Scored:
    """What the losses are made of. ids [kept, K]: tokens whose log-probabilities are wanted besides the texts' own."""
    device = logits.device
    pick, targets, sequence = (
        torch.from_numpy(part).to(device) for part in (batch.packed.pick, batch.packed.targets, batch.packed.sequence)
    )
    others = torch.zeros(len(batch.place), 0, dtype=torch.long) if ids is None else ids
    place, others = batch.place.to(device), others.to(device)
    wanted = place[:, None].expand_as(others)
    found = picked_logprobs(logits, torch.cat([pick, wanted.flatten()]), torch.cat([targets, others.flatten()]))
    values, kept = found[: len(pick)], found[len(pick) :]
    sums = torch.zeros(batch.texts, device=device).index_add(0, sequence, values)
    counts = torch.bincount(sequence, minlength=batch.texts).clamp_min(1)
    return Scored(sums, sums / counts, kept.view_as(others))
