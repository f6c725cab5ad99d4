"""Tables of thermal phases."""

from __future__ import annotations

from experiments.committed import ROOT, read

REPORTED = {
    "β = 0.01, independent noise": "20–30",
    "β = 1, independent noise": "about 80",
    "path integral, independent noise": "about 80",
}


def ways() -> list[str]:
    """Test accuracy of every way, beside what the paper reports."""
    result = read(ROOT / "experiments/finite-nudge-accuracy/result.json")
    if result is None:
        return []
    recipe = result["recipe"]
    rows = [
        "",
        f"Fashion-MNIST 784-{recipe['hidden'][0]}-10 at T = {recipe['temperature']:g}, "
        f"{recipe['epochs']} epochs, {len(result['seeds'])} seeds, test accuracy % "
        "(`eqprop reproduce finite-nudge-accuracy`; paper: Litman, arXiv 2511.22024, of another network, "
        "which it does not describe):",
        "",
        "| way | paper | ours | seconds a run |",
        "|---|---|---|---|",
    ]
    for case in result["cases"]:
        error = case["test_error_percent"]
        rows.append(
            f"| {case['line']} | {REPORTED.get(case['line'], '–')} | "
            f"{100 - error['mean']:.2f} ± {error['std']:.2f} | {case['seconds']:.0f} |"
        )
    return rows


def nudges() -> list[str]:
    """What a sampled gradient is worth at each nudge."""
    result = read(ROOT / "experiments/finite-nudge-gradient/result.json")
    if result is None:
        return []
    betas = next(iter(result["lines"].values()))["beta"]
    rows = [
        "",
        "The sampled gradient at initialisation, by nudge: its cosine with ∇J_β, and the signal-to-noise "
        f"ratio of one estimate ({result['recipe']['chains']} chains, 32 images; `eqprop reproduce "
        "finite-nudge-gradient`):",
        "",
        "| | " + " | ".join(f"β = {beta:g}" for beta in betas) + " |",
        "|---" * (len(betas) + 1) + "|",
    ]
    for line, measures in result["lines"].items():
        pairs = zip(measures["cosine"], measures["gradient_snr"], strict=True)
        rows.append(f"| {line} | " + " | ".join(f"{c:.2f}, {snr:.2g}" for c, snr in pairs) + " |")
    return rows


def exactness() -> list[str]:
    """Largest errors of the rules in exact phases."""
    result = read(ROOT / "experiments/exactness/result.json")
    if result is None:
        return []
    columns = list(next(iter(result["thermal"].values())))
    rows = [
        "",
        "Largest error of a parameter's gradient in exact phases, by the finite-nudge contrast and by the "
        "path integral with so many Gauss–Legendre nodes, against the derivative of the free energies "
        "(float64, `python -m experiments.exactness`):",
        "",
        "| phases | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, row in result["thermal"].items():
        rows.append(f"| {name} | " + " | ".join(f"{row[c]:.0e}" for c in columns) + " |")
    return rows


def chains() -> list[str]:
    """Steps a second of the samplers."""
    result = read(ROOT / "benchmarks/chains.json")
    if result is None:
        return []
    rows = [
        "",
        f"Samplers, {result['chains']} chains, float32; the limit is the matrix products at the machine's "
        "peak and the drawing of the random numbers, both measured in the same run:",
        "",
        "| step | a second | over NumPy | over PyTorch | share of the limit |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        rows.append(
            f"| {row['what']} | {row['steps_a_second']:.0f} | {row['over_numpy']:.1f} | "
            f"{row['over_torch']:.1f} | {row['share_of_limit']:.0%} |"
        )
    return rows
