"""One forward pass over the texts of some rows: shared prefixes once, the head only where something is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from chunfen.data.packing import PackedBatch, collate, join_rows, plan_rows
from chunfen.engines.transformers.logprobs import picked_logprobs
from chunfen.engines.transformers.scoring import read_logits
from chunfen.train.example import Text

JOINED = 128
"""Texts are put side by side in rows of this many tokens, or of as many as the longest text has."""


class HasTexts(Protocol):
    """A row as tokens: an `Example`, or a row of a repair."""

    @property
    def texts(self) -> tuple[Text, ...]: ...


@dataclass(frozen=True, slots=True)
class TextBatch:
    """The texts of some rows, packed.

    rows: the rows. first [rows]: index of each row's first text; its second one, if any, is the next.
    kept: one (text, position) for each distribution wanted besides the tokens' own log-probabilities, where position
    counts the read tokens of the text. owner [kept]: the row that it belongs to. place [kept]: where it is read.
    """

    rows: Sequence[Any]
    packed: PackedBatch
    first: Tensor
    owner: Tensor
    place: Tensor
    texts: int

    def pick(self, like: Tensor) -> Tensor:
        """The place in the logits of each read token [r], on the device of `like`."""
        return torch.from_numpy(self.packed.pick).to(like.device)

    def targets(self, like: Tensor) -> Tensor:
        """The read tokens [r]."""
        return torch.from_numpy(self.packed.targets).to(like.device)

    def sequence(self, like: Tensor) -> Tensor:
        """The text that each read token belongs to [r]."""
        return torch.from_numpy(self.packed.sequence).to(like.device)


def pack_rows(
    rows: Sequence[HasTexts], *, tree: bool = True, distributions: Callable[[Any], range] = lambda row: range(0)
) -> TextBatch:
    """Plan one forward pass. tree: False for models that cannot attend to a tree (see the engine's self-check).

    distributions: at which read positions of a row's first text the whole distribution is wanted.
    """
    texts = [text for row in rows for text in row.texts]
    joined = max(JOINED, *(len(text.ids) for text in texts))
    planned = plan_rows([text.ids for text in texts], [text.reads for text in texts], max_tokens=JOINED, branch=tree)
    packed = collate(join_rows(planned, max_tokens=joined) if tree else planned)
    first = np.cumsum([0, *(len(row.texts) for row in rows)])[:-1]
    begins = {int(s): int(k) for k, s in reversed(list(enumerate(packed.sequence)))}
    wanted = [(k, begins[int(first[k])] + p) for k, row in enumerate(rows) for p in distributions(row)]
    return TextBatch(
        rows=rows,
        packed=packed,
        first=torch.from_numpy(first),
        owner=torch.tensor([k for k, _ in wanted], dtype=torch.long),
        place=torch.from_numpy(packed.pick[[r for _, r in wanted]]),
        texts=len(texts),
    )


@dataclass(frozen=True, slots=True)
class Scored:
    """sums, means [texts]: the log-probability of each text, whole and per token.
    kept [kept, K]: log-probabilities of the K tokens asked for at each wanted distribution."""

    sums: Tensor
    means: Tensor
    kept: Tensor


def row_logits(model: Any, batch: TextBatch, *, tree: bool = True, dtype: torch.dtype | None = None) -> Tensor:
    """The forward pass: logits [read positions, vocabulary]; gradients flow if they are on.

    dtype: number format of the products of matrices; None: that of the model's weights.
    """
    with precision(model, dtype):
        return read_logits(model, batch.packed, tree=tree)


@contextmanager
def precision(model: Any, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Compute in one number format: the fp32 weights of an adapter are rounded; PEFT would widen all activations."""
    from peft.helpers import disable_input_dtype_casting

    dtype = dtype or model.dtype
    if dtype == torch.float32:
        yield
        return
    with torch.autocast(model.device.type, dtype), disable_input_dtype_casting(model):
        yield


def token_logprobs(logits: Tensor, batch: TextBatch) -> Tensor:
    """Log-probability of each read token [r], text after text."""
    return picked_logprobs(logits, batch.pick(logits), batch.targets(logits))


def score(logits: Tensor, batch: TextBatch, ids: Tensor | None = None) -> Scored:
    """What the losses are made of. ids [kept, K]: tokens whose log-probabilities are wanted besides the texts' own."""
    device = logits.device
    pick, targets, sequence = batch.pick(logits), batch.targets(logits), batch.sequence(logits)
    others = torch.zeros(len(batch.place), 0, dtype=torch.long) if ids is None else ids
    place, others = batch.place.to(device), others.to(device)
    wanted = place[:, None].expand_as(others)
    found = picked_logprobs(logits, torch.cat([pick, wanted.flatten()]), torch.cat([targets, others.flatten()]))
    values, kept = found[: len(pick)], found[len(pick) :]
    sums = torch.zeros(batch.texts, device=device).index_add(0, sequence, values)
    counts = torch.bincount(sequence, minlength=batch.texts).clamp_min(1)
    return Scored(sums, sums / counts, kept.view_as(others))
