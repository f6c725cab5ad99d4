"""Rates of Adam over width and batch, from a table of narrow networks."""

from __future__ import annotations

WIDTHS: dict[int, float | None] = {8: 2e-3, 16: None, 32: None}
"""The rate that is best on validation images, by width, in batches of `BATCH`. That of width 8 is the
recipe's; those of 16 and 32 are still to be measured."""

BATCH = 25


def learning_rate(width: int, batch: int, table: dict[int, float | None] = WIDTHS) -> float:
    """``rate(w) (w / width) sqrt(batch / 25)``, with ``w`` the widest network of which the rate is known.

    The table is still to be measured: it holds one rate, of width 8, so that nothing tells yet whether the
    scaling holds here. By the maximal update parametrisation (Yang et al. 2022, arXiv 2203.03466) Adam's
    rate of weights that sum over the width goes as 1 / width, so that what a step does to a layer does not
    depend on the width; that of biases, and of the weights from the input, would stay. All have one rate
    here, the smaller one. The square root of the batch keeps the noise of Adam's steps (Malladi et al.
    2022, arXiv 2205.10287).

    Args:
        width: channels of the first block.
        batch: images a step.
        table: rates by width; None where it is not measured.

    Raises ``ValueError`` where the table holds no rate.

    ``learning_rate(128, 250)`` is 4e-4.
    """
    known = {w: rate for w, rate in table.items() if rate is not None}
    if not known:
        raise ValueError(f"table: expected a rate of one width or more, got none of {list(table)}.")
    widest = max(known)
    return known[widest] * widest / width * (batch / BATCH) ** 0.5
