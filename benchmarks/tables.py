"""Tables of the benchmarks, in Markdown, for the pages that `make tables` fills."""

from __future__ import annotations

from pathlib import Path

from eqprop.papers.tables import Result, of, table

HERE = Path(__file__).parent

SCHEDULES = ("published", "blockwise", "momentum", "spectral")


@of(HERE / "exactness.json")
def exactness(result: Result) -> list[str]:
    """Relative gradient errors of small networks in float64."""
    columns = list(next(iter(result["rows"].values())))
    rows = [
        (name, *("–" if row[c] is None else f"{row[c]:.0e}" for c in columns))
        for name, row in result["rows"].items()
    ]
    return table(
        "Relative error of the whole gradient in float64 (`python -m benchmarks.exactness`); implicit "
        "differentiation against finite differences, everything else against implicit:",
        ("network", *columns),
        rows,
    )


@of(HERE / "exactness.json")
def thermal_exactness(result: Result) -> list[str]:
    """Largest errors of the rules in exact phases."""
    columns = list(next(iter(result["thermal"].values())))
    rows = [(name, *(f"{row[c]:.0e}" for c in columns)) for name, row in result["thermal"].items()]
    return table(
        "Largest error of a parameter's gradient in exact phases, by the finite-nudge contrast and by the "
        "path integral with so many Gauss–Legendre nodes, against the derivative of the free energies "
        "(float64, `python -m benchmarks.exactness`):",
        ("phases", *columns),
        rows,
    )


@of(HERE / "sweeps.json")
def sweeps(result: Result) -> list[str]:
    """Sweeps to a residual, by solver and depth."""
    solvers = result["solvers"]
    rows = [
        (
            name,
            *(f"{row[solver]['mean']:.0f}" for solver in solvers),
            f"{row['gain']:.1f}",
            f"{row['accuracy']:.0%}",
        )
        for name, row in result["rows"].items()
    ]
    return table(
        "Mean steps to a relative residual of 1e-4, clip 0–6, and the accuracy on the training images "
        "(`python -m benchmarks.sweeps`):",
        ("network", *solvers, "blockwise / spectral", "accuracy"),
        rows,
    )


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
                f"{row['torch_ms']:.1f}",
                f"{row['blockwise_ms']:.2f}",
                f"{row['blockwise_ratio']:.1f}",
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


@of(HERE / "oscillators.json")
def oscillators(result: Result) -> list[str]:
    """One relaxation step of oscillators."""
    return table(
        "One relaxation step of oscillators at batch 50, against PyTorch's autograd of the cosine energy "
        "over all pairs and a NumPy loop of two matrix products:",
        ("network", "ours (µs)", "over PyTorch", "over NumPy"),
        [
            (
                row["net"],
                f"{row['ours_us']:.0f}",
                f"{row['over_torch']:.1f}",
                f"{row['over_numpy']:.1f}",
            )
            for row in result["rows"]
        ],
    )


@of(HERE / "levers.json")
def precision(result: Result) -> list[str]:
    """Cosine of the gradient by nudge and float type."""
    head = ("", *(f"β = {beta:g}" for beta in result["betas"]))
    lines = []
    for name, found in result["networks"].items():
        least = found["cosines"]["least"]
        lines += table(
            f"Cosine of the gradient with the exact one by nudge and float type, {name} network; by its "
            f"rounding, bfloat16 resolves nudges from {least['beta']:.2g} on in every layer "
            "(`python -m benchmarks.levers`):",
            head,
            [
                (way, *(f"{value:.4f}" for value in row))
                for way, row in found["cosines"]["rows"].items()
            ],
        )
    return lines


@of(HERE / "levers.json")
def levers(result: Result) -> list[str]:
    """What each lever of a training step is worth, alone."""
    rows = []
    for name, found in result["networks"].items():
        held = {
            way: ", ".join(f"{b / 1e6:.3g}" for b in row) for way, row in found["memory"].items()
        }
        both, drive = found["nudges_ms"], found["drive_ms"]
        rows.append(
            (
                name,
                held["equilibrium propagation"],
                held["back-propagation through time"],
                f"{both['together']:.2f} / {both['in turn']:.2f}",
                f"{drive['once']:.2f} / {drive['every sweep']:.2f}",
            )
        )
    return table(
        f"Each lever alone, batch {result['batch']}: temporary memory of a compiled gradient in MB at "
        + ", ".join(map(str, result["steps"]))
        + " steps; times in ms:",
        (
            "network",
            "EP",
            "BPTT",
            "both nudges together / in turn",
            "drive once / every sweep",
        ),
        rows,
    )


@of(HERE / "chains.json")
def chains(result: Result) -> list[str]:
    """Steps a second of the samplers."""
    return table(
        f"Samplers, {result['chains']} chains, float32; the limit is the matrix products at the machine's "
        "peak and the drawing of the random numbers, both measured in the same run:",
        ("step", "a second", "over NumPy", "over PyTorch", "share of the limit"),
        [
            (
                row["what"],
                f"{row['steps_a_second']:.0f}",
                f"{row['over_numpy']:.1f}",
                f"{row['over_torch']:.1f}",
                f"{row['share_of_limit']:.0%}",
            )
            for row in result["rows"]
        ],
    )


@of(HERE / "dynamics.json")
def dynamics(result: Result) -> list[str]:
    """Gradients of initial-value problems, against BPTT and Diffrax."""
    echo = {row["steps"]: row["ms"] for row in result["rows"] if row["way"] == "echo"}
    return table(
        "The gradient of a final state in eight parameters of three driven Duffing oscillators, float64 "
        f"(`python -m benchmarks.dynamics`, Diffrax {result['diffrax']}), after a time of "
        f"{result['time']:g}; the error is against the gradient of the equations of motion. The echo "
        f"differs from BPTT through the same steps by at most {max(result['echo_from_bptt']):.0e}:",
        ("steps", "way", "ms", "over the echo", "working memory (kB)", "error"),
        [
            (
                row["steps"],
                row["way"],
                f"{row['ms']:.2f}",
                f"{row['ms'] / echo[row['steps']]:.1f}",
                f"{row['bytes'] / 1e3:.0f}",
                f"{row['error']:.0e}",
            )
            for row in result["rows"]
        ],
    )


@of(HERE / "residual.json")
def residual(result: Result) -> list[str]:
    """Sweeps by schedule and solver, the gradient after the published steps, and time beside PyTorch."""
    return [*_schedules(result), *_gradient(result), *_speed(result)]


def _schedules(result: Result) -> list[str]:
    rows = []
    for state, found in result["sweeps"].items():
        by_schedule = [found[name] for name in SCHEDULES]
        cells = [f"{one['sweeps']:.0f} ({one['relative_energy']:.0e})" for one in by_schedule]
        rows.append((state, *cells, f"{max(one['gain'] for one in by_schedule):.1f}"))
    return table(
        f"Mean sweeps of Hopfield-ResNet13 of width {result['width']} from rest to a relative residual of "
        f"{result['tolerance']:g}, and in brackets how far above the lowest energy they end, relatively; "
        f"after training: {result['accuracy']:.0%} of the training images "
        "(`python -m benchmarks.residual`):",
        (
            "",
            "published schedule",
            "coloured blocks",
            "momentum",
            "spectral",
            "published / fewest",
        ),
        rows,
    )


def _gradient(result: Result) -> list[str]:
    free, nudged = result["published"]
    columns = [f"{way}_{what}" for way in ("published", "momentum") for what in ("cosine", "worst")]
    return table(
        f"Cosine of its gradient with the exact one after {free} free and {nudged} nudged sweeps, and of "
        "its worst parameter:",
        ("", "published schedule", "worst", "momentum", "worst"),
        [
            (state, *(f"{found[column]:.4f}" for column in columns))
            for state, found in result["gradient"].items()
        ],
    )


def _speed(result: Result) -> list[str]:
    free, nudged = result["steps"]
    rows = [
        (
            what,
            *(f"{row[f'{side}_{key}_ms']:.{digits}f}" for side in ("torch", "our")),
            f"{row[f'{key}_ratio']:.1f}",
        )
        for row in result["equal_steps"].values()
        for what, key, digits in (("a sweep", "sweep", 1), ("a training step", "step", 0))
    ]
    rows += [
        (f"equal accuracy, {state}", _side(row, "torch"), _side(row, "our"), _ratio(row))
        for state, row in result["equal_accuracy"].items()
    ]
    return table(
        f"The same at batch {result['batch']} against the textbook PyTorch loop ({free} + 2×{nudged} "
        "steps; at equal gradient accuracy each side takes the fewest that reach a cosine of 0.999):",
        ("", "PyTorch (ms)", "ours (ms)", "ratio"),
        rows,
    )


def _side(row: Result, side: str) -> str:
    if not row.get(f"{side}_ms"):
        return "–"
    free, nudged = row[f"{side}_steps"]
    return f"{row[f'{side}_ms']:.0f}, steps {free} + 2×{nudged}"


def _ratio(row: Result) -> str:
    if not row.get("ratio"):
        return "–"
    return ("at least " if row["not_reached"] else "") + f"{row['ratio']:.1f}"


@of(HERE / "spiking.json")
def spiking(result: Result) -> list[str]:
    """Spiking steps."""
    rows = []
    for row in result["rows"]:
        alone, population, staggered = (
            row[f"{way}_us"] for way in ("deterministic", "population", "staggered")
        )
        rows.append(
            (
                row["net"],
                f"{alone:.0f}",
                f"{row['probabilities_us']:.0f}",
                f"{row['ratio']:.2f}",
                f"{population:.0f}",
                f"{population / alone:.2f}",
                f"{staggered:.0f}",
                f"{staggered / alone:.2f}",
            )
        )
    return table(
        f"One relaxation step at batch {result['batch']} (`python -m benchmarks.spiking`):",
        (
            "network",
            "deterministic (µs)",
            "spiking (µs)",
            "ratio",
            f"populations of {result['population']} (µs)",
            "ratio",
            f"staggered, of {result['staggered']} (µs)",
            "ratio",
        ),
        rows,
    )


@of(HERE / "spiking.json")
def generators(result: Result) -> list[str]:
    """Generators of random numbers."""
    return table(
        "Generators of a spike's random number, of which the cheapest that passes the statistical tests is "
        "used:",
        ("generator", "ns a number", "fails"),
        [
            (row["name"], f"{row['ns']:.2f}", ", ".join(row["fails"]) or "nothing")
            for row in result["generators"]
        ],
    )


TABLES = {
    "exactness": exactness,
    "thermal-exactness": thermal_exactness,
    "sweeps": sweeps,
    "residual": residual,
    "precision": precision,
    "levers": levers,
    "oscillators": oscillators,
    "chains": chains,
    "dynamics": dynamics,
    "spiking": spiking,
    "generators": generators,
}
