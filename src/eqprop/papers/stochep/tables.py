"""Tables of spiking networks."""

from __future__ import annotations

from typing import Any

from experiments.committed import ROOT, by_case, over_seeds, read, seeds

REPORTED = {
    "stochep-mnist": ("MNIST, 784-512-10", "–"),
    "stochep-mnist-conv": ("MNIST, two convolutions, two dense layers", "0.97"),
    "stochep-fashion-mnist-conv": ("Fashion-MNIST, the same", "8.89"),
}


def papers() -> list[str]:
    """Test errors with spikes, beside what is published of the nearest spiking networks."""
    rows = []
    for name, (setting, reported) in REPORTED.items():
        result = read(ROOT / f"experiments/{name}/result.json")
        if result is None:
            continue
        error = result["test_error_percent"]
        noise = max(run["test_error_std_over_noise"] for run in result["runs"])
        rows.append(
            f"| {setting} | {reported} | {over_seeds(error['mean'], error['std'], result)} | "
            f"{noise:.2f} | {result['seconds']['mean']:.0f} | "
            f"`eqprop reproduce {name}` |"
        )
    head = [
        "",
        "Spiking networks, tested with spikes, test error %; reported: of sigma-delta spikes without "
        "noise (Lin, Bal and Sengupta, arXiv 2405.02546), of layers whose sizes may be others:",
        "",
        "| setting | reported | ours | std over noise | seconds a seed | command |",
        "|---|---|---|---|---|---|",
    ]
    return [*head, *rows] if rows else []


def cifar() -> list[str]:
    """Four convolutions on a part of CIFAR-10, with and without spikes."""
    result = read(ROOT / "experiments/stochep-cifar-10/result.json")
    if result is None:
        return []
    recipe = result["recipe"]
    nudges = {case["line"]: case["change"].get("beta", recipe["beta"]) for case in result["cases"]}
    head = [
        "",
        f"{recipe['examples']:,} images of CIFAR-10, convolutions of "
        f"{'-'.join(map(str, recipe['channels']))} channels, {recipe['epochs']} epochs, {seeds(result)}; "
        f"nudges of ±{nudges['spiking EP']:g} with spikes and of "
        f"±{nudges['deterministic EP']:g} without (`{result['command']}`):",
    ]
    return [*head, *by_case(result)]


def gradients() -> list[str]:
    """Agreement with deterministic EP by what enters the rule."""
    result = read(ROOT / "experiments/stochep-gradient/result.json")
    if result is None:
        return []
    recipe = result["recipe"]
    names = list(result["rows"][0]["cosine"])
    rows = [
        "",
        f"Cosine of one spiking gradient with deterministic EP's at the same nudge ±{recipe['beta']:g}, "
        f"MNIST 784-{recipe['hidden'][0]}-10 at initialisation, λ = {recipe['leak']:g}, "
        f"{result['images']} images, mean of {result['repeats']} (`eqprop reproduce stochep-gradient`):",
        "",
        "| read | noise of ± | " + " | ".join(names) + " |",
        "|---" * (len(names) + 2) + "|",
    ]
    for row in result["rows"]:
        cells = " | ".join(f"{row['cosine'][name]:.2f}" for name in names)
        rows.append(f"| {row['rule']} | {row['noise']} | {cells} |")
    return rows


def mean_field() -> list[str]:
    """Distance to the deterministic fixed point."""
    result = read(ROOT / "experiments/stochep-mean-field/result.json")
    if result is None:
        return []
    steps = result["steps"]
    shown = [at for at in range(len(steps)) if at % 2 == 0]
    rows = [
        "",
        "Root mean square distance of firing probabilities, averaged over so many steps, from the "
        "deterministic fixed point, and its part that no averaging removes (`eqprop reproduce "
        "stochep-mean-field`):",
        "",
        "| leak | width | " + " | ".join(str(steps[at]) for at in shown) + " | bias |",
        "|---" * (len(shown) + 3) + "|",
    ]
    for row in result["rows"]:
        cells = " | ".join(f"{row['error'][at]:.4f}" for at in shown)
        rows.append(f"| {row['leak']:g} | {row['width']} | {cells} | {row['bias']:.4f} |")
    return rows


def memory() -> list[str]:
    """Memory of a gradient against steps."""
    result = read(ROOT / "experiments/stochep-memory/result.json")
    if result is None:
        return []
    recipe, steps = result["recipe"], result["steps"]
    rows = [
        "",
        f"Working memory in MB of one gradient, 784-{recipe['hidden'][0]}-10, batch "
        f"{recipe['batch_size']}, by steps of the free phase (`eqprop reproduce stochep-memory`):",
        "",
        "| | " + " | ".join(f"T1 = {count}" for count in steps) + " |",
        "|---" * (len(steps) + 1) + "|",
    ]
    for way, values in result["megabytes"].items():
        rows.append(f"| {way} | " + " | ".join(f"{value:.1f}" for value in values) + " |")
    return rows


def baselines() -> list[str]:
    """Every way of training one network, tested with and without spikes."""
    result = read(ROOT / "experiments/stochep-baselines/result.json")
    if result is None:
        return []
    recipe, steps = result["recipe"], result["steps"]
    rows = [
        "",
        f"MNIST 784-{recipe['hidden'][0]}-10, {recipe['epochs']} epochs, {len(result['seeds'])} seeds: "
        "test accuracy % without spikes, and with spikes after T steps, whatever it was trained with "
        "(`eqprop reproduce stochep-baselines`):",
        "",
        "| trained by | without spikes | " + " | ".join(f"T = {count}" for count in steps) + " |",
        "|---" * (len(steps) + 2) + "|",
    ]
    for case in result["cases"]:
        cells = [_spread(one) for one in case["accuracy_by_steps"]]
        settled = _spread(case["accuracy_without_spikes"])
        rows.append(f"| {case['line']} | {settled} | " + " | ".join(cells) + " |")
    return rows


def _spread(found: dict[str, Any]) -> str:
    return f"{found['mean']:.2f} ± {found['std']:.2f}"


def speed() -> list[str]:
    """Spiking steps and generators of random numbers."""
    result = read(ROOT / "benchmarks/spiking.json")
    if result is None:
        return []
    rows = [
        "",
        f"One relaxation step at batch {result['batch']} (`python -m benchmarks.spiking`):",
        "",
        "| network | deterministic (µs) | spiking (µs) | ratio | populations of "
        f"{result['population']} (µs) | ratio | staggered, of {result['staggered']} (µs) | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        rows.append(
            f"| {row['net']} | {row['deterministic_us']:.0f} | {row['probabilities_us']:.0f} | "
            f"{row['ratio']:.2f} | {row['population_us']:.0f} | "
            f"{row['population_us'] / row['deterministic_us']:.2f} | {row['staggered_us']:.0f} | "
            f"{row['staggered_us'] / row['deterministic_us']:.2f} |"
        )
    rows += [
        "",
        "Generators of a spike's random number, of which the cheapest that passes the statistical tests is "
        "used:",
        "",
        "| generator | ns a number | fails |",
        "|---|---|---|",
    ]
    for row in result["generators"]:
        rows.append(f"| {row['name']} | {row['ns']:.2f} | {', '.join(row['fails']) or 'nothing'} |")
    return rows
