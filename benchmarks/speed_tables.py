"""Tables of what a training step and a gradient cost."""

from __future__ import annotations

from pathlib import Path

from eqprop.papers.tables import Result, cells, of, table

HERE = Path(__file__).parent
WITHIN = 0.05


@of(HERE / "result.json")
def speed(result: Result) -> list[str]:
    """The ratios of the benchmark."""
    free, nudged = result["steps"]
    rows = []
    for name, row in result["a_equal_steps"].items():
        equal = [
            result["b_equal_accuracy"][f"{name} {state}"].get("ratio")
            for state in ("at initialisation", "after training")
        ]
        rows.append(
            (
                name,
                *cells(row, torch_ms=".1f", blockwise_ms=".2f", blockwise_ratio=".1f"),
                " / ".join("–" if ratio is None else f"{ratio:.1f}" for ratio in equal),
                f"{result['c_over_backprop'][name]['ep_over_backprop']:.1f}",
                f"{row['blockwise_compile_s']:.1f}",
            )
        )
    lines = table(
        f"A training step at batch {result['batch']} against the textbook PyTorch loop (`make bench`, "
        f"{result['hardware']['cores']} cores, matrix-product peak {result['peak_gflops']:.0f} GFLOP/s):",
        (
            "network",
            f"PyTorch, {free} + 2×{nudged} steps (ms)",
            "ours, the same (ms)",
            "ratio",
            "ratio at equal gradient accuracy, before / after training",
            "over back-propagation",
            "compile (s)",
        ),
        rows,
    )
    for name, row in result["d_throughput"].items():
        lines += ["", f"Relaxation of {name} at batch 256: {row['share_of_peak']:.0%} of the peak."]
    return lines


@of(HERE / "frontier.json")
def frontier(result: Result) -> list[str]:
    """The least time to an error, by method."""
    networks = result["networks"]
    methods = list(next(iter(networks.values()))["lines"])

    def least(found: Result, method: str) -> str:
        within = [row for row in found["lines"][method] if row["error"] <= WITHIN]
        if not within:
            return "not reached"
        row = min(within, key=lambda row: row["ms"])
        return f"{row['ms']:.1f} ({row['ms'] / found['backprop_ms']:.1f}), {row['steps']:.0f} steps"

    rows = [
        (name, f"{found['backprop_ms']:.1f}", *(least(found, method) for method in methods))
        for name, found in networks.items()
    ]
    return table(
        f"Milliseconds of one gradient of {result['batch']} images whose relative error is at most "
        f"{WITHIN:.0%}, on trained networks, in brackets over back-propagation of the plain network "
        "(`python -m benchmarks.frontier`, one run):",
        ("network", "back-propagation (ms)", *methods),
        rows,
    )


@of(HERE / "predictive.json")
def predictive(result: Result) -> list[str]:
    """A training step of predictive coding, against jpc."""
    ways = ("jpc", "jpc_in_one", "states", "errors")
    rows = []
    for row in result["rows"]:
        errors = row["errors"] | {"jpc": row["errors"]["states"]}
        shown = (f"{row[f'{way}_ms']:.1f} ({errors[way]:.0%})" for way in ways)
        rows.append((row["network"], *shown, f"{row['apart']:.0e}"))
    return table(
        f"A training step of predictive coding, milliseconds, batch {result['batch']}, the output held, "
        "and in brackets by how much its gradient misses the one at equilibrium; apart: the gradient of "
        "jpc's steps against that of as many of ours, from the same weights, float64 "
        "(`python -m benchmarks.predictive`; jpc installed by `pip install --no-deps`):",
        (
            "network",
            "jpc, steps in states",
            "jpc, Diffrax",
            "ours, the same steps",
            "ours, 3 in errors",
            "apart",
        ),
        rows,
    )


@of(HERE / "resistive.json")
def resistive(result: Result) -> list[str]:
    """A gradient of a resistive network, against the published code."""
    return table(
        f"A gradient of equilibrium propagation of a resistive network of 1,568-1,024-10 nodes, "
        f"{result['sweeps']} steps of each layer in each of three phases, against the published code in "
        f"PyTorch (`python -m benchmarks.resistive`). From the same conductances, settled in float64, the "
        f"gradients are {result['apart']:.0e} apart:",
        ("batch", "published (ms)", "ours (ms)", "ratio"),
        [
            (
                row["batch"],
                *cells(row, theirs_ms=".1f", ours_ms=".1f"),
                f"{row['theirs_ms'] / row['ours_ms']:.0f}",
            )
            for row in result["rows"]
        ],
    )
