"""Tables of spiking networks."""

from __future__ import annotations

from functools import partial

from eqprop.papers.tables import (
    Result,
    by_case,
    of,
    of_each,
    plus_minus,
    results,
    seeds,
    table,
    trained,
    with_seeds,
)

RESULTS = results("stochep")

REPORTED = {
    "stochep-mnist": ("MNIST, 784-512-10", "–"),
    "stochep-mnist-conv": ("MNIST, two convolutions, two dense layers", "0.97"),
    "stochep-fashion-mnist-conv": ("Fashion-MNIST, the same", "8.89"),
}
"""Setting and reported test error in percent."""


@of(RESULTS / "stochep-mnist-conv/result.json")
def headline(result: Result) -> list[str]:
    setting, reported = REPORTED["stochep-mnist-conv"]
    shown = plus_minus(result["test_error_percent"], len(result["seeds"]))
    return [f"{setting}, test error % (reported: of sigma-delta spikes)", reported, shown]


def reported() -> list[str]:
    """Test errors with spikes, beside what is published of the nearest spiking networks."""
    rows = []
    for name, result in of_each("stochep", REPORTED):
        shown = plus_minus(result["test_error_percent"], len(result["seeds"]))
        noise = max(run["test_error_std_over_noise"] for run in result["runs"])
        rows.append(
            (
                *REPORTED[name],
                with_seeds(shown, result),
                f"{noise:.2f}",
                f"{result['seconds']['mean']:.0f}",
                f"`eqprop reproduce {name}`",
            )
        )
    return table(
        "Spiking networks, tested with spikes, test error %; reported: of sigma-delta spikes without "
        "noise (Lin, Bal and Sengupta, arXiv 2405.02546), of layers whose sizes may be others:",
        ("setting", "reported", "ours", "std over noise", "seconds a seed", "command"),
        rows,
    )


@of(RESULTS / "stochep-cifar-10/result.json")
def cifar(result: Result) -> list[str]:
    """Four convolutions on a part of CIFAR-10, with and without spikes."""
    recipe = result["cases"][0]["arguments"]
    nudges = {case["line"]: case["arguments"]["beta"] for case in result["cases"]}
    return by_case(
        f"{recipe['examples']:,} images of CIFAR-10, convolutions of "
        f"{'-'.join(map(str, recipe['channels']))} channels, {recipe['epochs']} epochs, {seeds(result)}; "
        f"nudges of ±{nudges['spiking EP']:g} with spikes and of "
        f"±{nudges['deterministic EP']:g} without (`{result['command']}`):",
        result,
    )


@of(RESULTS / "stochep-gradient/result.json")
def gradients(result: Result) -> list[str]:
    """Agreement with deterministic EP by what enters the rule."""
    recipe = result["arguments"]
    names = list(result["rows"][0]["cosine"])
    return table(
        f"Cosine of one spiking gradient with deterministic EP's at the same nudge ±{recipe['beta']:g}, "
        f"MNIST 784-{recipe['hidden'][0]}-10 at initialisation, λ = {recipe['spikes']['leak']:g}, "
        f"{result['images']} images, mean of {result['repeats']} (`eqprop reproduce stochep-gradient`):",
        ("read", "noise of ±", *names),
        [
            (row["rule"], row["noise"], *(f"{row['cosine'][name]:.2f}" for name in names))
            for row in result["rows"]
        ],
    )


@of(RESULTS / "stochep-mean-field/result.json")
def mean_field(result: Result) -> list[str]:
    """Distance to the deterministic fixed point."""
    steps = result["steps"]
    shown = range(0, len(steps), 2)
    rows = [
        (
            f"{row['leak']:g}",
            row["width"],
            *(f"{row['error'][at]:.4f}" for at in shown),
            f"{row['bias']:.4f}",
        )
        for row in result["rows"]
    ]
    return table(
        "Root mean square distance of firing probabilities, averaged over so many steps, from the "
        "deterministic fixed point, and its part that no averaging removes (`eqprop reproduce "
        "stochep-mean-field`):",
        ("leak", "width", *(steps[at] for at in shown), "bias"),
        rows,
    )


@of(RESULTS / "stochep-memory/result.json")
def memory(result: Result) -> list[str]:
    """Memory of a gradient against steps."""
    recipe = result["arguments"]
    return table(
        f"Working memory in MB of one gradient, 784-{recipe['hidden'][0]}-10, batch "
        f"{result['batch_size']}, by steps of the free phase (`eqprop reproduce stochep-memory`):",
        ("", *(f"T1 = {count}" for count in result["steps"])),
        [
            (way, *(f"{value:.1f}" for value in values))
            for way, values in result["megabytes"].items()
        ],
    )


@of(RESULTS / "stochep-baselines/result.json")
def baselines(result: Result) -> list[str]:
    """Every way of training one network, tested with and without spikes."""
    recipe, runs = result["cases"][0]["arguments"], len(result["seeds"])
    rows = []
    for case in result["cases"]:
        tested = (case["accuracy_without_spikes"], *case["accuracy_by_steps"])
        rows.append((case["line"], *(plus_minus(one, runs) for one in tested)))
    return table(
        f"MNIST 784-{recipe['hidden'][0]}-10, {recipe['epochs']} epochs, {seeds(result)}: "
        "test accuracy % without spikes, and with spikes after T steps, whatever it was trained with "
        "(`eqprop reproduce stochep-baselines`):",
        ("trained by", "without spikes", *(f"T = {count}" for count in result["steps"])),
        rows,
    )


TABLES = {
    "reported": reported,
    "cifar": cifar,
    "gradients": gradients,
    "mean-field": mean_field,
    "baselines": baselines,
    "memory": memory,
    "trained": partial(trained, "stochep"),
}
