"""Mixing, sampling, splitting and shuffling: the same seed gives the same rows, and no row is lost."""

from __future__ import annotations

from random import Random

import pytest

from chunfen.data.mix import interleave, repeated, sample, shuffled, split
from chunfen.errors import DataError


def sources(*sizes: int):
    return [lambda n=n, size=size: iter([(n, k) for k in range(size)]) for n, size in enumerate(sizes)]


def test_shares_are_those_that_were_asked_for():
    taken = [
        n for n, _ in interleave(sources(100_000, 100_000, 100_000), (0.5, 0.3, 0.2), "first_exhausted", Random(0))
    ]
    shares = [taken.count(n) / len(taken) for n in range(3)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_first_exhausted_ends_when_one_has_no_more_and_all_exhausted_when_each_was_read(seed):
    first = list(interleave(sources(5, 50), (0.5, 0.5), "first_exhausted", Random(seed)))
    assert len(set(first)) == len(first), "no row comes twice"
    assert [k for n, k in first if n == 0] == list(range(5)) or [k for n, k in first if n == 1] == list(range(50))
    every = list(interleave(sources(5, 50), (0.5, 0.5), "all_exhausted", Random(seed)))
    assert set(every) == {(n, k) for n, size in enumerate((5, 50)) for k in range(size)}
    short = [k for n, k in every if n == 0]
    assert short == [k % 5 for k in range(len(short))], "it begins again"


def test_an_empty_set_is_an_error_where_it_would_begin_again_for_ever():
    with pytest.raises(DataError, match="data set 1 of 2 has no rows"):
        list(interleave(sources(0, 5), (0.5, 0.5), "all_exhausted", Random(0)))
    assert len(list(interleave(sources(0, 5), (0.5, 0.5), "first_exhausted", Random(0)))) < 5


def test_a_buffer_gives_every_row_once_and_moves_them():
    rows = list(range(1000))
    mixed = list(shuffled(iter(rows), 100, Random(0)))
    assert sorted(mixed) == rows and mixed != rows
    assert all(place >= row - 100 for place, row in enumerate(mixed)), "a row cannot come before it was read"
    assert list(shuffled(iter(rows), 1, Random(0))) == rows
    assert sorted(shuffled(iter(rows), 5000, Random(0))) == rows
    assert list(shuffled(iter([]), 10, Random(0))) == []


def test_sampling_and_repeating():
    assert sample("abc", None, Random(0)) == sample("abc", 3, Random(0)) == sample("abc", 9, Random(0)) == list("abc")
    assert sample("abc", 0, Random(0)) == []
    assert sorted(repeated("abc", 6, Random(0))) == list("aabbcc")


def test_a_split_has_at_least_one_row_on_each_side():
    assert [len(part) for part in split(range(10), 0.01, Random(0))] == [9, 1]
    assert [len(part) for part in split(range(2), 0.99, Random(0))] == [1, 1]
    with pytest.raises(DataError, match="cannot be split"):
        split(range(1), 0.5, Random(0))
