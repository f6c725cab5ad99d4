"""Tables of resistive networks."""

from __future__ import annotations

from functools import partial

from eqprop.papers.tables import Result, of, plus_minus, results, trained

REPORTED = "1.57"
"""Test error of MNIST in percent, one hidden layer, 50 epochs (the published code)."""


@of(results("resistive") / "resistive-mnist/result.json")
def headline(result: Result) -> list[str]:
    shown = plus_minus(result["test_error_percent"], len(result["seeds"]))
    return ["MNIST, 1,024 hidden nodes, test error %", REPORTED, shown]


TABLES = {"trained": partial(trained, "resistive")}
