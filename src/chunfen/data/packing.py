"""Shared-prefix computation: one row of tokens stands for a whole tree of texts.

Many texts with a common beginning (a question with its answers, an occupation in several sentences) need not
be computed one by one. Sorted, each text adds to its row only what follows the prefix it shares with the text
before; ``end`` says how far each token's subtree reaches, and that one number per token is the whole
attention rule:

    token i sees token j  ⇔  j ≤ i < end[j]          (so: exactly the tokens on its own path to the root)
    position of i         =  its depth in the tree    (not its place in the row)

Everything here is pure and works on plain integers and NumPy arrays; `engines.transformers` scores with it
and `train` computes preference losses with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

MAX_TOKENS = 384
"""Rows are closed at this length: attention computes masked pairs too, so its work grows with the square."""

ATTENTION_SCALE = 2048
"""Row length at which attention costs as much as all else: a row of n tokens costs n·(1 + n / this)."""


@dataclass(frozen=True, slots=True)
class Read:
    """Where one sequence's log-probabilities are found in its row.

    sequence: its index in the input of `plan_rows`. at [n]: row indices whose next-token distributions are
    wanted. targets [n]: the token that follows at each of them. n may be 0.
    """

    sequence: int
    at: IntArray
    targets: IntArray


@dataclass(frozen=True, slots=True)
class PackedRow:
    """A tree of token sequences in depth-first order.

    tokens, positions, end [length]: token ids, depths, and ends of the subtrees (see the module's rule).
    reads: one per sequence in the row.
    """

    tokens: IntArray
    positions: IntArray
    end: IntArray
    reads: tuple[Read, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def visible(self) -> npt.NDArray[np.bool_]:
        """The attention rule as a matrix [length, length]: may token i (row) see token j (column)?"""
        index = np.arange(len(self))
        return (index[None, :] <= index[:, None]) & (index[:, None] < self.end[None, :])


def plan_rows(
    sequences: Sequence[Sequence[int]],
    reads: Sequence[Sequence[int]],
    *,
    max_tokens: int = MAX_TOKENS,
    branch: bool = True,
) -> list[PackedRow]:
    """Pack token sequences into rows that compute each shared prefix once.

    sequences: token ids. reads: for each sequence the ascending positions (≥ 1) of the tokens whose log-
    probability is wanted, for example ``range(len(prompt), len(text))``; what comes after the last of them,
    and that token itself, is not computed. max_tokens: rows are closed there; a longer sequence has a row of
    its own, shared with those that hardly lengthen it. branch: False never lets a row fork, for models that
    cannot attend to a tree: a row is then one plain sequence and all of its prefixes.

    Two texts, (5 6 7 8) and (5 6 9 8), of which the last two tokens are to be read:

    >>> [row] = plan_rows([[5, 6, 7, 8], [5, 6, 9, 8]], [range(2, 4), range(2, 4)])
    >>> row.tokens.tolist(), row.positions.tolist(), row.end.tolist()
    ([5, 6, 7, 9], [0, 1, 2, 2], [4, 4, 3, 4])
    >>> [(read.at.tolist(), read.targets.tolist()) for read in row.reads]
    [([1, 2], [7, 8]), ([1, 3], [9, 8])]
    >>> row.visible().astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]

    Raises ValueError for a read at position 0 (nothing predicts it) or past the end.
    """
    for sequence, read in zip(sequences, reads, strict=True):
        if len(read) and not 1 <= min(read) <= max(read) < len(sequence):
            raise ValueError(f"reads must lie in 1…{len(sequence) - 1}, got {min(read)}…{max(read)}")
    if not sequences:
        return []
    needed = [tuple(s[: max(r)]) if len(r) else () for s, r in zip(sequences, reads, strict=True)]
    order = sorted(range(len(needed)), key=needed.__getitem__)
    texts = [needed[k] for k in order]
    shared = [0, *(common_prefix(a, b) for a, b in pairwise(texts))]
    starts = _cheapest_starts(texts, shared, max_tokens) if branch else _chain_starts(texts, shared)
    return [
        _build_row(order[first:last], texts[first:last], shared[first:last], sequences, reads)
        for first, last in zip(starts, [*starts[1:], len(order)], strict=True)
    ]


def _chain_starts(texts: Sequence[Sequence[int]], shared: Sequence[int]) -> list[int]:
    """Start a row wherever the text before is not a prefix: no row forks."""
    return [k for k in range(len(texts)) if k == 0 or shared[k] < len(texts[k - 1])]


def _cheapest_starts(texts: Sequence[Sequence[int]], shared: Sequence[int], max_tokens: int) -> list[int]:
    """Cut sorted texts into rows of least total cost: the shortest path over the places to cut.

    A row of the texts i … j-1 holds shared[i] + Σ tails tokens, where tail k = len(k) - shared[k]. Cutting at
    i therefore computes shared[i] tokens once more, and a longer row costs more attention.
    """
    n = len(texts)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    prefix = np.array(shared[:n], dtype=np.int64)
    tails = np.concatenate([[0], np.cumsum(lengths - prefix)])
    limits = np.maximum(max_tokens, lengths * 5 // 4)
    best = np.zeros(n + 1)
    start = np.zeros(n + 1, dtype=np.int64)
    low = 0
    for j in range(1, n + 1):
        while low < j - 1 and prefix[low] + tails[j] - tails[low] > limits[low]:
            low += 1  # a row that is too long stays too long
        tokens = prefix[low:j] + tails[j] - tails[low:j]
        cost = best[low:j] + tokens * (1 + tokens / ATTENTION_SCALE)
        cost[:-1][tokens[:-1] > limits[low : j - 1]] = np.inf
        start[j] = low + int(np.argmin(cost))
        best[j] = cost[start[j] - low]
    starts = []
    while n:
        n = int(start[n])
        starts.append(n)
    return starts[::-1]


def _build_row(
    order: Sequence[int],
    texts: Sequence[Sequence[int]],
    shared: Sequence[int],
    sequences: Sequence[Sequence[int]],
    reads: Sequence[Sequence[int]],
) -> PackedRow:
    """One row from sorted texts; the first brings its whole self, each other one its tail."""
    tokens: list[int] = []
    positions: list[int] = []
    end: list[int] = []
    path: list[int] = []  # row indices of the current text's tokens, from the root
    found: list[Read] = []
    for k, (number, text) in enumerate(zip(order, texts, strict=True)):
        keep = shared[k] if k else 0
        for closed in path[keep:]:
            end[closed] = len(tokens)
        del path[keep:]
        path.extend(range(len(tokens), len(tokens) + len(text) - keep))
        tokens.extend(text[keep:])
        positions.extend(range(keep, len(text)))
        end.extend([-1] * (len(text) - keep))
        at = [path[p - 1] for p in reads[number]]
        found.append(Read(number, _ints(at), _ints([sequences[number][p] for p in reads[number]])))
    for opened in path:
        end[opened] = len(tokens)
    return PackedRow(_ints(tokens), _ints(positions), _ints(end), tuple(found))


def join_rows(rows: Sequence[PackedRow], *, max_tokens: int = MAX_TOKENS) -> list[PackedRow]:
    """Fewer, even rows: several trees side by side in one, none seeing another, so that little is padded.

    As many rows as `max_tokens` asks for on average, each tree going to the shortest one, the longest trees first. For
    small steps of unequal texts, as in training; scoring many texts groups rows of like length instead
    (`group_rows`), which spares attention the masked pairs.

    >>> rows = plan_rows([[5, 6, 7], [8, 9, 4]], [range(1, 3), range(1, 3)])
    >>> [row] = join_rows(rows, max_tokens=8)
    >>> row.tokens.tolist(), row.positions.tolist(), row.end.tolist()
    ([5, 6, 8, 9], [0, 1, 0, 1], [2, 2, 4, 4])
    """
    filled = [row for row in rows if len(row)]
    count = -(-sum(map(len, filled)) // max_tokens)
    bins: list[list[PackedRow]] = [[] for _ in range(min(count, len(filled)))]
    for row in sorted(filled, key=len, reverse=True):
        min(bins, key=lambda b: sum(map(len, b))).append(row)
    return [_side_by_side(b) for b in bins]


def _side_by_side(rows: Sequence[PackedRow]) -> PackedRow:
    offsets = np.cumsum([0, *(len(row) for row in rows)])[:-1]
    return PackedRow(
        np.concatenate([row.tokens for row in rows]),
        np.concatenate([row.positions for row in rows]),
        np.concatenate([row.end + offset for row, offset in zip(rows, offsets, strict=True)]),
        tuple(
            Read(read.sequence, read.at + offset, read.targets)
            for row, offset in zip(rows, offsets, strict=True)
            for read in row.reads
        ),
    )


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Rows padded to one length, and what to read from them.

    tokens, positions, end [rows, length]; padding tokens see only themselves (end = own index + 1).
    lengths [rows]: tokens that are not padding.
    unique [u]: places in the flattened [rows · length] whose distributions are needed, each once, ascending.
    pick [r], targets [r], sequence [r]: for each wanted log-probability its place in `unique`, its token, and
    the sequence it belongs to.
    """

    tokens: IntArray
    positions: IntArray
    end: IntArray
    lengths: IntArray
    unique: IntArray
    pick: IntArray
    targets: IntArray
    sequence: IntArray


def collate(rows: Sequence[PackedRow], *, pad: int = 0) -> PackedBatch:
    """Pad rows to a rectangle and merge their reads.

    >>> rows = plan_rows([[5, 6, 7], [5, 6, 8]], [range(1, 3), range(1, 3)])
    >>> batch = collate(rows)
    >>> batch.tokens.tolist(), batch.unique.tolist(), batch.pick.tolist(), batch.targets.tolist()
    ([[5, 6]], [0, 1], [0, 1, 0, 1], [6, 7, 6, 8])
    """
    length = max(1, *(len(row) for row in rows))
    tokens = np.full((len(rows), length), pad, dtype=np.int64)
    positions = np.zeros((len(rows), length), dtype=np.int64)
    end = np.tile(np.arange(1, length + 1), (len(rows), 1))
    for k, row in enumerate(rows):
        tokens[k, : len(row)] = row.tokens
        positions[k, : len(row)] = row.positions
        end[k, : len(row)] = row.end
    reads = [(k * length, read) for k, row in enumerate(rows) for read in row.reads]
    places = np.concatenate([offset + read.at for offset, read in reads])
    unique, pick = np.unique(places, return_inverse=True)
    return PackedBatch(
        tokens,
        positions,
        end,
        lengths=_ints([len(row) for row in rows]),
        unique=unique.astype(np.int64),
        pick=pick.astype(np.int64),
        targets=np.concatenate([read.targets for _, read in reads]),
        sequence=np.repeat([read.sequence for _, read in reads], [len(read.at) for _, read in reads]),
    )


def group_rows(
    rows: Sequence[PackedRow], *, batch_tokens: int, batch_reads: int, full: int = 768
) -> list[list[PackedRow]]:
    """Rows of like length together, so that little is padded; the longest first, so that memory fails early.

    batch_tokens: most tokens of a batch, padding included. batch_reads: most read positions of a batch (each
    costs a row of logits as wide as the vocabulary). full: a batch of that many tokens keeps the processor busy,
    so it takes no row that would be padded by more than a tenth. A row that alone is larger is a batch of its
    own. Rows without tokens (nothing to read) are left out.

    >>> rows = plan_rows([[1, 2, 3], [4, 5, 6], [7, 8]], [[2], [2], [1]], max_tokens=2)
    >>> [[len(row) for row in group] for group in group_rows(rows, batch_tokens=4, batch_reads=9)]
    [[2, 2], [1]]
    """
    groups: list[list[PackedRow]] = []
    reads = width = 0
    for row in sorted((row for row in rows if len(row)), key=len, reverse=True):
        own = len(np.unique(np.concatenate([read.at for read in row.reads])))
        tokens = (len(groups[-1]) + 1) * width if groups else 0
        padded = tokens > full and len(row) < 0.9 * width
        if not groups or tokens > batch_tokens or reads + own > batch_reads or padded:
            groups.append([])
            reads, width = 0, len(row)
        groups[-1].append(row)
        reads += own
    return groups


def _ints(values: Sequence[int]) -> IntArray:
    return np.asarray(values, dtype=np.int64)


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many leading elements two sequences share.

    >>> common_prefix([1, 2, 3], [1, 2, 4, 5])
    2
    """
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length
