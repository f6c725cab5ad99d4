"""The tables of README.md and docs/results.md, from the committed results: ``make tables``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from eqprop.training.files import read_json
from experiments import lagrangian_tables, residual_tables, spiking_tables, thermal_tables
from experiments.committed import ROOT, over_seeds, read

Section = Callable[[], list[str]]
BEGIN, END = (
    "<!-- tables: made by `make tables` from the committed result.json files -->",
    "<!-- end tables -->",
)


UNSETTLED = ("bptt", "backprop", "spiking", "surrogate")
PAPERS = {
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


def accuracy() -> list[str]:
    """Test error of every experiment, mean ± std over its seeds."""
    rows = [
        "| experiment | network | test error % | seeds | epochs | seconds a run (longest) | settled |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in sorted((ROOT / "experiments").glob("*/result.json")):
        result = read_json(path)
        if "runs" not in result or result["name"].endswith("-quick"):
            continue
        runs, error = result["runs"], result["test_error_percent"]
        recipe = runs[0]["recipe"]
        inner = recipe.get("hidden") or recipe.get("channels")
        kind = "dense" if "hidden" in recipe else "conv"
        spread = f" ± {error['std']:.2f}" if len(result["seeds"]) > 1 else ""
        settled = how_settled([run["relaxation"] for run in runs], recipe)
        longest = max(run["seconds"] for run in runs)
        rows.append(
            f"| `eqprop reproduce {result['name']}` | {kind} {'-'.join(map(str, inner))} | "
            f"{error['mean']:.2f}{spread} | {len(result['seeds'])} | {recipe['epochs']} | "
            f"{result['seconds']['mean']:.0f} ({longest:.0f}) | {settled} |"
        )
    return rows


def how_settled(relaxations: list[dict[str, float]], recipe: dict[str, Any]) -> str:
    """The smallest share of examples that settled; of chains, the largest drift."""
    if recipe["estimator"] == "thermal":
        return f"drift {max(one.get('drift', float('nan')) for one in relaxations):.2f}"
    if recipe["estimator"] in UNSETTLED or not recipe["tolerance"]:
        return "fixed steps"
    shares = [
        one.get(f"{phase}_converged", 1.0) for one in relaxations for phase in ("free", "nudged")
    ]
    return f"{min(shares):.1%}"


def papers() -> list[str]:
    """What a paper reports beside what its experiment gives."""
    rows = []
    for name, (setting, accuracy, time) in PAPERS.items():
        result = read(ROOT / f"experiments/{name}/result.json")
        if result is None:
            continue
        error = result["test_error_percent"]
        rows.append(
            f"| {setting} | {accuracy} | {over_seeds(100 - error['mean'], error['std'], result)} | "
            f"{time} | {result['seconds']['mean']:.0f} s a seed | "
            f"`eqprop reproduce {name}` |"
        )
    head = [
        "",
        "Oscillators against the paper (Gower, arXiv 2510.12934), test accuracy %:",
        "",
        "| setting | paper | ours | paper's time | ours | command |",
        "|---|---|---|---|---|---|",
    ]
    return [*head, *rows] if rows else []


def swept() -> list[str]:
    """Test accuracy along every sweep."""
    rows = []
    for path in sorted((ROOT / "experiments").glob("*/result.json")):
        result = read_json(path)
        if "axis" not in result or result["name"].endswith("-quick"):
            continue
        cells = {
            (case["line"], case["value"]): case["test_error_percent"] for case in result["cases"]
        }
        lines = list(dict.fromkeys(line for line, _ in cells))
        values = sorted({value for _, value in cells})
        rows += [
            "",
            f"Test accuracy % by {result['axis']}, {len(result['seeds'])} seeds "
            f"(`eqprop reproduce {result['name']}`):",
            "",
            "| | " + " | ".join(f"{value:g}" for value in values) + " |",
            "|---" * (len(values) + 1) + "|",
        ]
        for line in lines:
            errors = [cells.get((line, value)) for value in values]
            shown = [f"{100 - e['mean']:.1f} ± {e['std']:.1f}" if e else "–" for e in errors]
            rows.append(f"| {line} | " + " | ".join(shown) + " |")
    return rows


def exactness() -> list[str]:
    """Relative gradient errors of small networks in float64."""
    result = read(ROOT / "experiments/exactness/result.json")
    if result is None:
        return []
    columns = list(next(iter(result["rows"].values())))
    rows = [
        "",
        "Relative error of the whole gradient in float64 (`python -m experiments.exactness`); implicit "
        "differentiation against finite differences, everything else against implicit:",
        "",
        "| network | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, row in result["rows"].items():
        cells = ["–" if row[c] is None else f"{row[c]:.0e}" for c in columns]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


def sweeps() -> list[str]:
    """Sweeps to a residual, by solver and depth."""
    result = read(ROOT / "benchmarks/sweeps.json")
    if result is None:
        return []
    solvers = result["solvers"]
    rows = [
        "",
        "Mean steps to a relative residual of 1e-4, clip 0–6, and the accuracy on the training images "
        "(`python -m benchmarks.sweeps`):",
        "",
        "| network | " + " | ".join(solvers) + " | blockwise / spectral | accuracy |",
        "|---" * (len(solvers) + 3) + "|",
    ]
    for name, row in result["rows"].items():
        cells = [f"{row[solver]['mean']:.0f}" for solver in solvers]
        rows.append(
            f"| {name} | " + " | ".join(cells) + f" | {row['gain']:.1f} | {row['accuracy']:.0%} |"
        )
    return rows


def speed() -> list[str]:
    """The ratios of the benchmark."""
    result = read(ROOT / "benchmarks/result.json")
    if result is None:
        return []
    free, nudged = result["steps"]
    rows = [
        "",
        f"A training step at batch {result['batch']} against the textbook PyTorch loop (`make bench`, "
        f"{result['hardware']['cores']} cores, matrix-product peak {result['peak_gflops']:.0f} GFLOP/s):",
        "",
        f"| network | PyTorch, {free} + 2×{nudged} steps (ms) | ours, the same (ms) | ratio | "
        "ratio at equal gradient accuracy, before / after training | over back-propagation | compile (s) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in result["a_equal_steps"].items():
        equal = [
            result["b_equal_accuracy"][f"{name} {state}"].get("ratio")
            for state in ("at initialisation", "after training")
        ]
        shown = " / ".join("–" if ratio is None else f"{ratio:.1f}" for ratio in equal)
        rows.append(
            f"| {name} | {row['torch_ms']:.1f} | {row['blockwise_ms']:.2f} | "
            f"{row['blockwise_ratio']:.1f} | "
            f"{shown} | {result['c_over_backprop'][name]['ep_over_backprop']:.1f} | "
            f"{row['blockwise_compile_s']:.1f} |"
        )
    for name, row in result["d_throughput"].items():
        rows += ["", f"Relaxation of {name} at batch 256: {row['share_of_peak']:.0%} of the peak."]
    return rows


def oscillators() -> list[str]:
    """One relaxation step of oscillators."""
    result = read(ROOT / "benchmarks/oscillators.json")
    if result is None:
        return []
    rows = [
        "",
        "One relaxation step of oscillators at batch 50, against PyTorch's autograd of the cosine energy "
        "over all pairs and a NumPy loop of two matrix products:",
        "",
        "| network | ours (µs) | over PyTorch | over NumPy |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        rows.append(
            f"| {row['net']} | {row['ours_us']:.0f} | {row['over_torch']:.1f} | {row['over_numpy']:.1f} |"
        )
    return rows


def levers() -> list[str]:
    """What each lever of a training step is worth, alone."""
    result = read(ROOT / "benchmarks/levers.json")
    if result is None:
        return []
    betas = [f"β = {beta:g}" for beta in result["betas"]]
    rows = []
    for name, found in result["networks"].items():
        least = found["cosines"]["least"]
        rows += [
            "",
            f"Cosine of the gradient with the exact one by nudge and float type, {name} network; by its "
            f"rounding, bfloat16 resolves nudges from {least['beta']:.2g} on in every layer "
            "(`python -m benchmarks.levers`):",
            "",
            "| | " + " | ".join(betas) + " |",
            "|---" * (len(betas) + 1) + "|",
        ]
        for way, row in found["cosines"]["rows"].items():
            rows.append(f"| {way} | " + " | ".join(f"{value:.4f}" for value in row) + " |")
    rows += [
        "",
        f"Each lever alone, batch {result['batch']}: temporary memory of a compiled gradient in MB at "
        + ", ".join(map(str, result["steps"]))
        + " steps; times in ms:",
        "",
        "| network | EP | BPTT | both nudges together / in turn | drive once / every sweep |",
        "|---|---|---|---|---|",
    ]
    for name, found in result["networks"].items():
        held = {way: [f"{b / 1e6:.3g}" for b in row] for way, row in found["memory"].items()}
        ep, bptt = held["equilibrium propagation"], held["back-propagation through time"]
        both, drive = found["nudges_ms"], found["drive_ms"]
        rows.append(
            f"| {name} | {', '.join(ep)} | {', '.join(bptt)} | {both['together']:.2f} / "
            f"{both['in turn']:.2f} | {drive['once']:.2f} / {drive['every sweep']:.2f} |"
        )
    return rows


HEADLINES: tuple[Section, ...] = (
    accuracy,
    papers,
    thermal_tables.ways,
    spiking_tables.papers,
    spiking_tables.cifar,
    residual_tables.ways,
    lagrangian_tables.responses,
    lagrangian_tables.sequences,
    speed,
)
DETAILS: tuple[Section, ...] = (
    exactness,
    thermal_tables.exactness,
    lagrangian_tables.gradients,
    spiking_tables.gradients,
    thermal_tables.nudges,
    swept,
    lagrangian_tables.learning,
    lagrangian_tables.semiclassics,
    spiking_tables.mean_field,
    spiking_tables.baselines,
    sweeps,
    residual_tables.benchmark,
    levers,
    spiking_tables.memory,
    lagrangian_tables.costs,
    oscillators,
    thermal_tables.chains,
    lagrangian_tables.ways,
    spiking_tables.speed,
)
PAGES = {"README.md": HEADLINES, "docs/results.md": DETAILS}


def with_tables(text: str, sections: Sequence[Section]) -> str:
    """A page's text, its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = "\n".join(line for section in sections for line in section())
    return f"{before}{BEGIN}\n\n{made.strip()}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make tables", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the pages are current"
    )
    check = parser.parse_args().check
    for name, sections in PAGES.items():
        page = ROOT / name
        text = page.read_text("utf-8")
        made = with_tables(text, sections)
        if check and made != text:
            sys.exit(f"{name}: its tables are not those of the committed results; run make tables.")
        if not check:
            page.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
