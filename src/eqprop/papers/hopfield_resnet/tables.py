"""Tables of residual networks."""

from __future__ import annotations

from typing import Any

from experiments.committed import ROOT, by_case, read, seeds

SOLVERS = ("published", "blockwise", "momentum", "spectral")
TITLES = {
    "hopfield-resnet-cifar-10": "CIFAR-10 by narrow networks (Elayedam and Srinivasan, arXiv 2509.26003, "
    "report 93.92 % at width 128 in 300 epochs)",
    "hopfield-resnet-vgg5": "VGG5 in the same way",
    "hopfield-resnet-ablation": "The narrow network of weak feedback, trained by momentum and "
    "RandAugment as published, changed in one thing",
}


def ways() -> list[str]:
    """Test accuracy of each network, and of each ablation."""
    rows = []
    for name, title in TITLES.items():
        result = read(ROOT / f"experiments/{name}/result.json")
        if result is None:
            continue
        recipe = result["recipe"]
        subset = f" of {recipe['examples']:,} images" if recipe["examples"] else ""
        rows += [
            "",
            f"{title}; width {recipe['width']}, {recipe['epochs']} epochs{subset}, {seeds(result)} "
            f"(`{result['command']}`):",
            *by_case(result),
        ]
    return rows


def benchmark() -> list[str]:
    """Sweeps by schedule and solver, the gradient after the published steps, and time beside PyTorch."""
    result = read(ROOT / "benchmarks/residual.json")
    if result is None:
        return []
    return [*_sweeps(result), *_gradient(result), *_speed(result)]


def _sweeps(result: dict[str, Any]) -> list[str]:
    rows = [
        "",
        f"Mean sweeps of Hopfield-ResNet13 of width {result['width']} from rest to a relative residual of "
        f"{result['tolerance']:g}, and in brackets how far above the lowest energy they end, relatively; "
        f"after training: {result['accuracy']:.0%} of the training images "
        "(`python -m benchmarks.residual`):",
        "",
        "| | published schedule | coloured blocks | momentum | spectral | published / fewest |",
        "|---|---|---|---|---|---|",
    ]
    for state, found in result["sweeps"].items():
        cells = [
            f"{found[name]['sweeps']:.0f} ({found[name]['relative_energy']:.0e})"
            for name in SOLVERS
        ]
        gain = max(found[name]["gain"] for name in SOLVERS)
        rows.append(f"| {state} | {' | '.join(cells)} | {gain:.1f} |")
    return rows


def _gradient(result: dict[str, Any]) -> list[str]:
    free, nudged = result["published"]
    rows = [
        "",
        f"Cosine of its gradient with the exact one after {free} free and {nudged} nudged sweeps, and of "
        "its worst parameter:",
        "",
        "| | published schedule | worst | momentum | worst |",
        "|---|---|---|---|---|",
    ]
    for state, found in result["gradient"].items():
        cells = [
            f"{found[f'{way}_{what}']:.4f}"
            for way in ("published", "momentum")
            for what in ("cosine", "worst")
        ]
        rows.append(f"| {state} | {' | '.join(cells)} |")
    return rows


def _speed(result: dict[str, Any]) -> list[str]:
    free, nudged = result["steps"]
    rows = [
        "",
        f"The same at batch {result['batch']} against the textbook PyTorch loop ({free} + 2×{nudged} "
        "steps; at equal gradient accuracy each side takes the fewest that reach a cosine of 0.999):",
        "",
        "| | PyTorch (ms) | ours (ms) | ratio |",
        "|---|---|---|---|",
    ]
    for row in result["equal_steps"].values():
        rows += [
            f"| a sweep | {row['torch_sweep_ms']:.1f} | {row['our_sweep_ms']:.1f} | "
            f"{row['sweep_ratio']:.1f} |",
            f"| a training step | {row['torch_step_ms']:.0f} | {row['our_step_ms']:.0f} | "
            f"{row['step_ratio']:.1f} |",
        ]
    for state, row in result["equal_accuracy"].items():
        sides = [
            f"{row[f'{side}_ms']:.0f}, steps {row[f'{side}_steps'][0]} + 2×{row[f'{side}_steps'][1]}"
            if row.get(f"{side}_ms")
            else "–"
            for side in ("torch", "our")
        ]
        at_least = "at least " if row["not_reached"] else ""
        ratio = f"{at_least}{row['ratio']:.1f}" if row.get("ratio") else "–"
        rows.append(f"| equal accuracy, {state} | {sides[0]} | {sides[1]} | {ratio} |")
    return rows
