"""Which training examples are held out."""

from __future__ import annotations

import operator

import numpy as np

from eqprop.training.data.sources import Split


def split_validation(split: Split, n: int, seed: int) -> tuple[Split, Split]:
    """Divide into (training, validation) with `n` examples, drawn by `seed`, in the second.

    Each class gets its proportional share of `n`, to within one example; both parts keep the
    order of `split`.  Raises `ValueError` unless `0 < n < N`.
    """
    total = len(split.y)
    if not 0 < operator.index(n) < total:
        raise ValueError(
            f"validation: expected more than 0 and fewer than the {total} examples that there are, got {n}."
        )
    rng = np.random.default_rng(seed)
    held_out = np.zeros(total, bool)
    if not np.issubdtype(split.y.dtype, np.integer):
        held_out[rng.permutation(total)[:n]] = True
        return _divided(split, held_out)
    labels, counts = np.unique(split.y, return_counts=True)
    for label, share in zip(labels, _proportional_shares(counts, n), strict=True):
        held_out[rng.permutation(np.flatnonzero(split.y == label))[:share]] = True
    return _divided(split, held_out)


def _divided(split: Split, held_out: np.ndarray) -> tuple[Split, Split]:
    validation = Split(split.x[held_out], split.y[held_out])
    return Split(split.x[~held_out], split.y[~held_out]), validation


def _proportional_shares(counts: np.ndarray, n: int) -> np.ndarray:
    """Integers near `n * counts / sum(counts)` that add up to `n` (largest remainders)."""
    shares, remainders = np.divmod(n * counts, counts.sum())
    shares[np.argsort(-remainders, kind="stable")[: n - shares.sum()]] += 1
    return shares
