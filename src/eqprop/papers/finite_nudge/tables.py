"""Tables of thermal phases."""

from __future__ import annotations

from functools import partial

from eqprop.papers.tables import Result, accuracy, of, results, seeds, table, trained

RESULTS = results("finite_nudge")

REPORTED = {
    "β = 0.01, independent noise": "20–30",
    "β = 1, independent noise": "about 80",
    "path integral, independent noise": "about 80",
}
"""Test accuracy in percent, by way."""


@of(RESULTS / "finite-nudge-accuracy/result.json")
def headline(result: Result) -> list[str]:
    way = "β = 1, independent noise"
    (case,) = [case for case in result["cases"] if case["line"] == way]
    shown = accuracy(case["test_error_percent"], len(result["seeds"]))
    return [f"Fashion-MNIST, {way}, test accuracy %", REPORTED[way], shown]


@of(RESULTS / "finite-nudge-accuracy/result.json")
def ways(result: Result) -> list[str]:
    """Test accuracy of every way, beside what the paper reports."""
    recipe, runs = result["cases"][0]["arguments"], len(result["seeds"])
    rows = [
        (
            case["line"],
            REPORTED.get(case["line"], "–"),
            accuracy(case["test_error_percent"], runs),
            f"{case['seconds']:.0f}",
        )
        for case in result["cases"]
    ]
    return table(
        f"Fashion-MNIST 784-{recipe['hidden'][0]}-10 at T = {recipe['source']['temperature']:g}, "
        f"{recipe['epochs']} epochs, {seeds(result)}, test accuracy % "
        "(`eqprop reproduce finite-nudge-accuracy`; paper: Litman, arXiv 2511.22024, of another network, "
        "which it does not describe):",
        ("way", "paper", "ours", "seconds a run"),
        rows,
    )


@of(RESULTS / "finite-nudge-gradient/result.json")
def nudges(result: Result) -> list[str]:
    """What a sampled gradient is worth at each nudge."""
    source = next(iter(result["ways"].values()))["arguments"]["source"]
    betas = next(iter(result["lines"].values()))["beta"]
    rows = []
    for line, measures in result["lines"].items():
        pairs = zip(measures["cosine"], measures["gradient_snr"], strict=True)
        rows.append((line, *(f"{cosine:.2f}, {snr:.2g}" for cosine, snr in pairs)))
    return table(
        "The sampled gradient at initialisation, by nudge: its cosine with ∇J_β, and the signal-to-noise "
        f"ratio of one estimate ({source['chains']} chains, 32 images; `eqprop reproduce "
        "finite-nudge-gradient`):",
        ("", *(f"β = {beta:g}" for beta in betas)),
        rows,
    )


TABLES = {"ways": ways, "nudges": nudges, "trained": partial(trained, "finite_nudge")}
