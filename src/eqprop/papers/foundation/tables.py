"""Tables of the first networks."""

from __future__ import annotations

from functools import partial

from eqprop.papers.tables import Result, of, plus_minus, results, trained


@of(results("foundation") / "mnist-dense/result.json")
def headline(result: Result) -> list[str]:
    shown = plus_minus(result["test_error_percent"], len(result["seeds"]))
    return ["MNIST, one hidden layer, test error %", "2 to 3", shown]


TABLES = {"trained": partial(trained, "foundation")}
