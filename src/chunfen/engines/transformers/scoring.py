"""Log-probabilities of tokens, by one forward pass over trees of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from chunfen.data.packing import PackedBatch, collate, group_rows, plan_rows
from chunfen.engines.transformers.logprobs import picked_logprobs
from chunfen.engines.transformers.masks import masks_for

if TYPE_CHECKING:
    from transformers import Cache

Model = Any
"""A `transformers.PreTrainedModel`, or a `peft.PeftModel` around one, which passes on what is asked here."""

LOGITS = 2**26
"""Most logits held at once: 256 MiB in fp32."""

Progress = Callable[[int, int], None]
"""Called with (done, total), in tokens to compute."""


def token_logprobs(
    model: Model,
    sequences: Sequence[Sequence[int]],
    reads: Sequence[Sequence[int]],
    *,
    tree: bool,
    batch_tokens: int,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Log-probabilities in nats of the tokens at the read positions, one array [len(read)] per sequence.

    sequences, reads: as for `chunfen.data.packing.plan_rows`. tree: compute shared prefixes once; False:
    plain padded batches, for models that cannot. batch_tokens: most tokens in one forward pass, padding
    included.
    """
    rows = plan_rows(sequences, reads, branch=tree)
    vocabulary = model.get_output_embeddings().weight.shape[0]
    groups = group_rows(rows, batch_tokens=batch_tokens, batch_reads=max(1, LOGITS // vocabulary))
    found = [np.zeros(len(read), dtype=np.float32) for read in reads]
    total, done = sum(map(len, rows)), 0
    with torch.no_grad(), evaluating(model):
        for group in groups:
            batch = collate(group)
            values = read_logprobs(read_logits(model, batch, tree=tree), batch)
            for number, of_sequence in _by_sequence(values, batch.sequence):
                found[number] = of_sequence
            done += int(batch.lengths.sum())
            if progress:
                progress(done, total)
    return found


def read_logits(model: Model, batch: PackedBatch, *, tree: bool, cache: Cache | None = None) -> Tensor:
    """The logits [u, vocabulary] at the batch's unique read positions, and at no others.

    The model's own head computes them, with whatever it does before and after (soft caps, scales, adapters);
    it only gets to see the positions that are read. Gradients flow, if they are on. cache: an empty one, to
    be filled.
    """
    device = model.device
    inputs: dict[str, Any] = {
        "input_ids": torch.from_numpy(batch.tokens).to(device),
        "use_cache": cache is not None,
    }
    if cache is not None:
        inputs["cache"] = cache
    if tree:
        positions = torch.from_numpy(batch.positions).to(device)
        end = torch.from_numpy(batch.end).to(device)
        inputs["position_ids"] = positions
        plain = inner(model)
        inputs["attention_mask"] = masks_for(plain.config.get_text_config(), end, positions, plain.dtype)
    else:
        inputs["attention_mask"] = _padding_mask(batch).to(device)
    with _head_sees_only(model, torch.from_numpy(batch.unique).to(device), batch.tokens.shape[1]):
        logits: Tensor = model(**inputs).logits
    return logits[0]


def inner(model: Model) -> Model:
    """The model inside of what computes with it: DeepSpeed's engine has a config of its own."""
    return getattr(model, "module", model)


def read_logprobs(logits: Tensor, batch: PackedBatch) -> Tensor:
    """Log-probabilities [r] of the batch's targets, in fp32."""
    pick, targets = (torch.from_numpy(part).to(logits.device) for part in (batch.pick, batch.targets))
    return picked_logprobs(logits, pick, targets)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Dropout off, and the mode as it was afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _head_sees_only(model: Model, unique: Tensor, length: int) -> Iterator[None]:
    """Within this, the LM head is applied to the hidden states at flattened [rows · length] positions
    only."""

    def select(_: torch.nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden, *rest = arguments
        own = hidden[:, hidden.shape[1] - length :]  # after the virtual tokens of prompt tuning, if there are any
        return (own.flatten(0, 1).index_select(0, unique)[None], *rest)

    hook = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


def _padding_mask(batch: PackedBatch) -> Tensor:
    """1 for tokens, 0 for the padding behind them: [rows, length]."""
    return torch.from_numpy((np.arange(batch.tokens.shape[1]) < batch.lengths[:, None]).astype(np.int64))


def _by_sequence(values: Tensor, sequence: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Split the values of a batch at the borders of its sequences."""
    borders = np.flatnonzero(np.diff(sequence)) + 1
    for part, numbers in zip(np.split(values.cpu().numpy(), borders), np.split(sequence, borders), strict=True):
        yield int(numbers[0]), part
