"""Tables of the benchmarks, in Markdown, for the pages that `make tables` fills."""

from __future__ import annotations

from pathlib import Path

from benchmarks.residual_tables import residual, weak_feedback
from benchmarks.speed_tables import frontier, predictive, resistive, speed
from eqprop.papers.tables import Result, cells, of, table

HERE = Path(__file__).parent


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
            *cells(row, gain=".1f", accuracy=".0%"),
        )
        for name, row in result["rows"].items()
    ]
    return table(
        "Mean steps to a relative residual of 1e-4, clip 0–6, and the accuracy on the training images "
        "(`python -m benchmarks.sweeps`):",
        ("network", *solvers, "blockwise / spectral", "accuracy"),
        rows,
    )


@of(HERE / "oscillators.json")
def oscillators(result: Result) -> list[str]:
    """One relaxation step of oscillators."""
    return table(
        "One relaxation step of oscillators at batch 50, against PyTorch's autograd of the cosine energy "
        "over all pairs and a NumPy loop of two matrix products:",
        ("network", "ours (µs)", "over PyTorch", "over NumPy"),
        [
            cells(row, net="", ours_us=".0f", over_torch=".1f", over_numpy=".1f")
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
    formats = {"what": "", "steps_a_second": ".0f", "over_numpy": ".1f", "over_torch": ".1f"}
    formats["share_of_limit"] = ".0%"
    return table(
        f"Samplers, {result['chains']} chains, float32; the limit is the matrix products at the machine's "
        "peak and the drawing of the random numbers, both measured in the same run:",
        ("step", "a second", "over NumPy", "over PyTorch", "share of the limit"),
        [cells(row, **formats) for row in result["rows"]],
    )


@of(HERE / "graphs.json")
def graphs(result: Result) -> list[str]:
    """Sweeps of Ising machines on graphs, against thrml."""
    formats = {"graph": "", "ours_ms": ".1f", "thrml_ms": ".1f", "over_thrml": ".1f"}
    sweeps = result["burn"] + result["samples"] * result["thinning"]
    return table(
        f"Block Gibbs of Ising machines on graphs, {result['chains']} chains of {sweeps} sweeps, of which "
        f"{result['samples']} are kept, float32, against thrml {result['thrml']} "
        "(`python -m benchmarks.graphs`):",
        ("graph", "ours (ms)", "thrml (ms)", "over thrml", "sweeps a second"),
        [cells(row, **formats, sweeps_a_second=",.0f") for row in result["rows"]],
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
                *cells(row, steps="", way="", ms=".2f"),
                f"{row['ms'] / echo[row['steps']]:.1f}",
                f"{row['bytes'] / 1e3:.0f}",
                f"{row['error']:.0e}",
            )
            for row in result["rows"]
        ],
    )


@of(HERE / "spiking.json")
def spiking(result: Result) -> list[str]:
    """Spiking steps."""
    rows = [
        (
            *cells(row, net="", deterministic_us=".0f", probabilities_us=".0f", ratio=".2f"),
            *_over_deterministic(row, "population_us"),
            *_over_deterministic(row, "staggered_us"),
        )
        for row in result["rows"]
    ]
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


def _over_deterministic(row: Result, time: str) -> tuple[str, str]:
    return f"{row[time]:.0f}", f"{row[time] / row['deterministic_us']:.2f}"


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
    "speed": speed,
    "frontier": frontier,
    "weak-feedback": weak_feedback,
    "precision": precision,
    "levers": levers,
    "oscillators": oscillators,
    "chains": chains,
    "graphs": graphs,
    "dynamics": dynamics,
    "predictive": predictive,
    "resistive": resistive,
    "spiking": spiking,
    "generators": generators,
}
