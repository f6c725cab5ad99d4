"""Tables of oscillator Ising machines."""

from __future__ import annotations

from functools import partial

from eqprop.papers.tables import (
    Result,
    accuracy,
    cells,
    of,
    of_each,
    results,
    swept,
    table,
    trained,
    with_seeds,
)

RESULTS = results("oim")

REPORTED = {
    "oim-mnist-local": ("MNIST 784-500-10, local rule", "97.2 ± 0.1", "about 40 h"),
    "oim-mnist": ("MNIST 784-500-10, Adam", "–", "–"),
    "oim-mnist-bptt": ("MNIST 784-500-10, BPTT", "96.8 ± 0.1", "about 60 h"),
    "oim-fashion-mnist-local": ("Fashion-MNIST 784-500-10, local rule", "88.0 ± 0.1", "–"),
    "oim-fashion-mnist": ("Fashion-MNIST 784-500-10, Adam", "–", "–"),
    "oim-fashion-mnist-bptt": ("Fashion-MNIST 784-500-10, BPTT", "–", "–"),
    "oim-mnist-100": ("MNIST/100 784-120-10, ours with random shifts", "90.6 ± 1.7", "–"),
    "oim-mnist-1000": ("the same, tested on 10,000 images", "–", "–"),
    "oim-mnist-1000-bptt": ("the same by BPTT, 10,000 images", "–", "–"),
}
"""Setting, reported test accuracy in percent and reported time."""


@of(RESULTS / "oim-mnist-local/result.json")
def headline(result: Result) -> list[str]:
    setting, reported, _ = REPORTED["oim-mnist-local"]
    shown = accuracy(result["test_error_percent"], len(result["seeds"]))
    return [f"{setting}, test accuracy %", reported, shown]


def reported() -> list[str]:
    """What the paper reports beside what we find."""
    rows = []
    for name, result in of_each("oim", REPORTED):
        setting, theirs, hours = REPORTED[name]
        ours = with_seeds(accuracy(result["test_error_percent"], len(result["seeds"])), result)
        seconds = f"{result['seconds']['mean']:.0f} s a seed"
        rows.append((setting, theirs, ours, hours, seconds, f"`eqprop reproduce {name}`"))
    return table(
        "Oscillators against the paper (Gower, arXiv 2510.12934), test accuracy %:",
        ("setting", "paper", "ours", "paper's time", "ours", "command"),
        rows,
    )


@of(RESULTS / "oim-updates/result.json")
def updates(result: Result) -> list[str]:
    """EP's update and BPTT's, step by step."""
    recipe = result["arguments"]
    return table(
        f"Norm of the update at initialisation, β = {recipe['beta']:g}, S = {recipe['injection']:g}, by "
        "nudged steps and by steps unrolled (`eqprop reproduce oim-updates`):",
        ("steps", "EP", "BPTT", "cosine", "relative error"),
        [
            cells(row, steps="", ep=".4f", norm=".4f", cosine=".6f", relative_error=".0e")
            for row in result["curves"]
        ],
    )


@of(RESULTS / "oim-depth/result.json")
def depth(result: Result) -> list[str]:
    """What few sweeps make of the gradient in depth."""
    return table(
        "Cosine of the gradient of 2 sweeps up and 1 down with that of the equilibrium, at initialisation, "
        f"of all parameters and of the worst, by feedback (`eqprop reproduce {result['name']}`):",
        ("coupling", "feedback", "all", "the worst", "which"),
        [
            cells(row, coupling="", feedback="g", cosine=".4f", worst=".4f", parameter="")
            for row in result["rows"]
        ],
    )


TABLES = {
    "reported": reported,
    "depth": depth,
    "updates": updates,
    "swept": partial(swept, "oim"),
    "trained": partial(trained, "oim"),
}
