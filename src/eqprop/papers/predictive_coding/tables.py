"""Tables of predictive coding."""

from __future__ import annotations

from functools import partial

from eqprop.papers.predictive_coding.depth import until
from eqprop.papers.tables import Result, accuracy, by_case, of, of_each, results, seeds, table

RESULTS = results("predictive_coding")

REPORTED = "93.3", 30
"""Test accuracy of MNIST in percent, after one epoch, and layers: what jpc's notebook of muPC prints."""

TITLES = {
    "predictive-coding-mnist": "MNIST by two hidden layers",
    "predictive-coding-fashion-mnist": "Fashion-MNIST by two hidden layers",
    "predictive-coding-deep": "MNIST by deep residual networks",
}


@of(RESULTS / "predictive-coding-deep/result.json")
def headline(result: Result) -> list[str]:
    """Beside what the public code of muPC shows, which is a shorter network."""
    case = next(case for case in result["cases"] if case["line"] == "64 layers")
    shown = accuracy(case["test_error_percent"], len(result["seeds"]))
    layers, epochs = REPORTED[1], case["arguments"]["epochs"]
    setting = f"MNIST, {layers} layers in one epoch; ours 64 in {epochs}, test accuracy %"
    return [setting, REPORTED[0], shown]


def compared(name: str) -> list[str]:
    """Test accuracy of every way of one comparison."""
    return [
        line for _, found in of_each("predictive_coding", [name]) for line in _compared(name, found)
    ]


def _compared(name: str, result: Result) -> list[str]:
    epochs = result["cases"][0]["arguments"]["epochs"]
    return by_case(
        f"{TITLES[name]}; {epochs} epochs, {seeds(result)} (`{result['command']}`):", result
    )


@of(RESULTS / "predictive-coding-depth/result.json")
def reach(result: Result) -> list[str]:
    """The gradient's error, and how soon a nudge arrives."""
    rows = [
        (
            row["depth"],
            *(f"{value:.0e}" for value in row["errors"]),
            f"{row['implicit_beside_back_propagation']:.0e}",
            until(row["missing"]),
        )
        for row in result["rows"]
    ]
    return table(
        "Relative error of the gradient of all parameters by symmetric nudges β against implicit "
        "differentiation in float64; how far that is from back-propagation; and after which step half of a "
        f"nudge of {result['beta']:g} has reached the first layer (`{result['command']}`):",
        (
            "layers",
            *(f"β = {beta:g}" for beta in result["betas"]),
            "implicit beside back-propagation",
            "half is there after step",
        ),
        rows,
    )


TABLES = {"predictive-coding-depth": reach} | {name: partial(compared, name) for name in TITLES}
