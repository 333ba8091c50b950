"""Losses of all stages: pure functions of log-probabilities or rewards, one value per row or token.

preference   two answers, one better     lm       tokens to learn
unpaired     one answer, wanted or not   reward   two texts with scores
repair       pairs that shall be even, and what shall stay as it is
"""

from chunfen.train.losses.repair import (
    dpo_loss,
    even_split,
    margin_loss,
    parity_label,
    simpo_loss,
    sparse_kl,
)

__all__ = ["dpo_loss", "even_split", "margin_loss", "parity_label", "simpo_loss", "sparse_kl"]
