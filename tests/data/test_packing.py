"""The plan against its meaning, on thousands of random forests of token sequences."""

from __future__ import annotations

import random

import numpy as np
import pytest

from chunfen.data.packing import collate, group_rows, plan_rows


def forest(rng: random.Random) -> tuple[list[list[int]], list[range]]:
    """Random sequences over a tiny alphabet (so prefixes are shared), each with a random stretch to read."""
    sequences = [[rng.randrange(3) for _ in range(rng.randint(1, 14))] for _ in range(rng.randint(1, 25))]
    sequences += rng.choices(sequences, k=rng.randint(0, 4))  # some twice
    reads = []
    for sequence in sequences:
        first = rng.randint(1, len(sequence))
        reads.append(range(first, rng.randint(first, len(sequence))))
    return sequences, reads


def path_to_root(row, index: int) -> list[int]:
    """The ancestors of a token and itself, found by depth alone: the nearest earlier token one level up."""
    path = [index]
    while row.positions[path[0]] > 0:
        above = row.positions[path[0]] - 1
        path.insert(0, max(j for j in range(path[0]) if row.positions[j] == above))
    return path


@pytest.mark.parametrize("branch", [True, False])
@pytest.mark.parametrize("max_tokens", [1, 12, 60, 10_000])
def test_every_sequence_is_rebuilt_from_what_its_reads_can_see(branch, max_tokens):
    rng = random.Random(max_tokens)
    for _ in range(150):
        sequences, reads = forest(rng)
        rows = plan_rows(sequences, reads, max_tokens=max_tokens, branch=branch)
        seen = []
        for row in rows:
            visible = row.visible()
            for index in range(len(row)):
                assert np.flatnonzero(visible[index]).tolist() == path_to_root(row, index)
            for read in row.reads:
                sequence, wanted = sequences[read.sequence], reads[read.sequence]
                seen.append(read.sequence)
                assert read.targets.tolist() == [sequence[p] for p in wanted]
                for position, at in zip(wanted, read.at, strict=True):
                    assert row.tokens[visible[at]].tolist() == sequence[:position]
        assert sorted(seen) == list(range(len(sequences)))


def test_one_tree_holds_each_prefix_once():
    rng = random.Random(7)
    for _ in range(100):
        sequences, reads = forest(rng)
        needed = {tuple(s[:k]) for s, r in zip(sequences, reads, strict=True) if r for k in range(1, max(r) + 1)}
        rows = plan_rows(sequences, reads, max_tokens=10_000)
        assert sum(map(len, rows)) == len(needed)


def test_rows_without_forks_are_plain_causal_sequences():
    rng = random.Random(8)
    for _ in range(100):
        for row in plan_rows(*forest(rng), branch=False):
            assert row.positions.tolist() == list(range(len(row)))
            assert (row.end == len(row)).all()


def test_rows_keep_to_the_limit_and_cuts_fall_where_little_is_shared():
    questions = [[100 + q] * 20 for q in range(9)]
    sequences = [q + [answer] * 5 for q in questions for answer in (1, 2, 3)]
    rows = plan_rows(sequences, [range(20, 25)] * len(sequences), max_tokens=70)
    assert all(len(row) <= 70 for row in rows)
    assert sum(map(len, rows)) == 9 * (20 + 3 * 4)  # no question is computed twice


def test_a_long_prompt_is_still_shared_by_its_options():
    prompt = list(range(500))
    sequences = [[*prompt, 1, 2], [*prompt, 3, 4], [*prompt, 5, 6]]
    [row] = plan_rows(sequences, [range(500, 502)] * 3, max_tokens=100)
    assert len(row) == 503


def test_options_of_one_token_cost_nothing_beyond_the_prompt():
    [row] = plan_rows([[1, 2, 3], [1, 2, 4]], [[2], [2]])
    assert row.tokens.tolist() == [1, 2]
    assert [read.at.tolist() for read in row.reads] == [[1], [1]]


def test_sequences_with_nothing_to_read_cost_nothing():
    rows = plan_rows([[1, 2, 3], []], [[], []])
    assert sum(map(len, rows)) == 0
    assert sorted(read.sequence for row in rows for read in row.reads) == [0, 1]
    assert group_rows(rows, batch_tokens=10, batch_reads=10) == []
    assert plan_rows([], []) == []


@pytest.mark.parametrize("read", [[0], [3], range(1, 4)])
def test_reads_that_nothing_predicts_are_refused(read):
    with pytest.raises(ValueError, match="reads must lie in"):
        plan_rows([[1, 2, 3]], [read])


def test_batches_hold_every_row_once_within_both_budgets():
    rng = random.Random(9)
    for _ in range(50):
        rows = plan_rows(*forest(rng), max_tokens=8)
        groups = group_rows(rows, batch_tokens=24, batch_reads=12)
        assert sorted(id(r) for g in groups for r in g) == sorted(id(r) for r in rows if len(r))
        for group in groups:
            batch = collate(group)
            assert len(group) == 1 or (batch.tokens.size <= 24 and len(batch.unique) <= 12)


def test_a_collated_batch_reads_the_same_tokens_and_isolates_padding():
    rng = random.Random(10)
    for _ in range(50):
        sequences, reads = forest(rng)
        rows = [row for row in plan_rows(sequences, reads, max_tokens=8) if len(row)]
        if not rows:
            continue
        batch = collate(rows, pad=9)
        length = batch.tokens.shape[1]
        found: dict[int, list[int]] = {}
        for pick, target, number in zip(batch.pick, batch.targets, batch.sequence, strict=True):
            row, column = divmod(int(batch.unique[pick]), length)
            assert column < batch.lengths[row]
            found.setdefault(int(number), []).append(int(target))
        assert found == {k: [s[p] for p in r] for k, (s, r) in enumerate(zip(sequences, reads, strict=True)) if r}
        for row, count in enumerate(batch.lengths):
            assert (batch.tokens[row, count:] == 9).all()
            assert (batch.end[row, count:] == np.arange(count, length) + 1).all()
