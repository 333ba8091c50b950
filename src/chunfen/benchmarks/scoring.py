"""From log-probabilities to one number per item, as pure functions.

All are continuous. Whether an answer is right flips seldom; how likely it is moves always. Paired before and
after, the latter varies far less, and needs far fewer items to show that nothing got worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chunfen.engines.base import Score


def per_token(score: Score) -> float:
    """Mean log-probability of an option's tokens, nats.

    >>> per_token(Score(-6.0, 3))
    -2.0
    """
    return score.logprob / max(score.tokens, 1)


def right_share(scores: Sequence[Score]) -> float:
    """100 × the softmax share of the first option over the mean log-probabilities of all: 25 of four alike.

    >>> right_share([Score(-2.0, 1), Score(-4.0, 2), Score(-2.0, 1), Score(-6.0, 3)])
    25.0
    >>> round(right_share([Score(math.log(0.6), 1), Score(math.log(0.2), 1)]), 6)
    75.0
    """
    means = [per_token(score) for score in scores]
    top = max(means)
    if not math.isfinite(top):
        return math.nan
    mass = [math.exp(mean - top) for mean in means]
    return 100.0 * mass[0] / math.fsum(mass)


def pair_share(first: Score, second: Score) -> float:
    """100 / (1 + e^−lead), lead = log p(first) − log p(second): the chance of the first of two texts.

    >>> pair_share(Score(-3.0, 2), Score(-3.0, 4))
    50.0
    >>> pair_share(Score(-1000.0, 2), Score(-1.0, 4)), pair_share(Score(-1.0, 2), Score(-1000.0, 4))
    (0.0, 100.0)
    """
    lead = first.logprob - second.logprob
    small = math.exp(-abs(lead))
    return 100.0 * (1.0 if lead >= 0 else small) / (1.0 + small)


def cut_pair(first: str, second: str) -> tuple[str, str, str]:
    """(common prompt, rest of the first, rest of the second); each rest begins with the space before it.

    >>> cut_pair("The dogs bark loudly.", "The dogs barks loudly.")
    ('The dogs', ' bark loudly.', ' barks loudly.')
    """
    same = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    end = min(len(first), len(second)) if same is None else same
    cut = first.rfind(" ", 0, end)
    return first[:cut], first[cut:], second[cut:]


def cut_opening(text: str, words: int = 3) -> tuple[str, str]:
    r"""(the first words, the rest), cut before the white space that parts them.

    >>> cut_opening("One two three\n  four five.")
    ('One two three', '\n  four five.')
    """
    rest = text.split(None, words)[-1]
    opening = text[: len(text) - len(rest)].rstrip()
    return opening, text[len(opening) :]


def word_count(text: str) -> int:
    """Words of a reply: runs of characters that hold a letter or a digit.

    >>> word_count("It is 42 — yes."), word_count(" … ")
    (4, 0)
    """
    return sum(any(c.isalnum() for c in word) for word in text.split())
