"""Tables of dynamical systems."""

from __future__ import annotations

from experiments.committed import ROOT, read


def gradients() -> list[str]:
    """Errors of every rule, beside the reported ones."""
    result = read(ROOT / "experiments/lagrangian-gradient/result.json")
    if result is None:
        return []
    rows = [
        "",
        "Relative error of the gradient in float64 (`eqprop reproduce lagrangian-gradient`): three coupled "
        "driven Duffing oscillators with eight parameters, a driven double pendulum with four, two "
        "pendulums on a spring with three, and friction besides. Reported: another calculation, of Duffing "
        "oscillators with other numbers. The cost is half the integral of the squared error over time; "
        "the drive of a periodic path is above the system's own frequencies; the ε of an echo is what all "
        "nudges of the momenta add up to:",
        "",
        "| rule | reported | ours | cosine | against |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        reported = f"{row['reported']:.1e}" if row["reported"] else "–"
        rows.append(
            f"| {row['check']} | {reported} | {row['error']:.1e} | {row['cosine']:.6f} | "
            f"{row['against']} |"
        )
    orders = ", ".join(f"{name} {line['order']:.2f}" for name, line in result["lines"].items())
    return [*rows, "", f"Fitted orders in the nudge: {orders}."]


def learning() -> list[str]:
    """Losses of paths that learn."""
    result = read(ROOT / "experiments/lagrangian-learning/result.json")
    if result is None:
        return []
    rows = [
        "",
        f"Paths that learn, symmetric nudges of {result['beta']:g} against the adjoint from the same start "
        "(`eqprop reproduce lagrangian-learning`); apart: distance of the learnt parameters over the "
        "distance they moved:",
        "",
        "| task | steps | loss before | after, EP | after, adjoint | apart |",
        "|---|---|---|---|---|---|",
    ]
    for name, task in result["tasks"].items():
        ep, adjoint = task["losses"]["EP"], task["losses"]["adjoint"]
        rows.append(
            f"| {name} | {len(ep) - 1} | {ep[0]:.1e} | {ep[-1]:.2e} | {adjoint[-1]:.2e} | "
            f"{task['parameters_apart']:.0e} |"
        )
    return rows


def sequences() -> list[str]:
    """Test accuracy of sequential MNIST."""
    result = read(ROOT / "experiments/lagrangian-mnist/result.json")
    if result is None:
        return []
    rows = [
        "",
        f"Sequential MNIST by stacked oscillators, seeds {result['seeds']}, test accuracy % "
        "(`eqprop reproduce lagrangian-mnist`); the gradient's relative error is that of the echo "
        "against BPTT on the trained model, float32:",
        "",
        "| reading | layers | epochs | accuracy | gradient error | seconds a run |",
        "|---|---|---|---|---|---|",
    ]
    for case in result["cases"]:
        error, reading = case["test_error_percent"], case["reading"]
        apart = max(run["gradient_error"] for run in case["runs"])
        rows.append(
            f"| {case['line']} | {'-'.join(map(str, reading['widths']))} | {reading['epochs']} | "
            f"{_accuracy(error, len(case['runs']))} | {apart:.0e} | {case['seconds']:.0f} |"
        )
    return rows


def responses() -> list[str]:
    """Test accuracy of a driven network."""
    result = read(ROOT / "experiments/lagrangian-response/result.json")
    if result is None:
        return []
    rows = [
        "",
        f"Digits by the periodic response of {result['hidden']} + 10 driven oscillators, Adam, "
        f"{result['epochs']} epochs (`eqprop reproduce lagrangian-response`); the gradient's relative "
        f"error on the trained network is that of symmetric nudges of {result['beta']:g} against the "
        "adjoint:",
        "",
        "| gradient | test accuracy % | gradient error | seconds |",
        "|---|---|---|---|",
    ]
    for case in result["cases"]:
        error = case["test_error_percent"]
        apart = max(run["gradient_error"] for run in case["runs"])
        rows.append(
            f"| {case['line']} | {_accuracy(error, len(case['runs']))} | {apart:.0e} | "
            f"{case['seconds']:.0f} |"
        )
    return rows


def semiclassics() -> list[str]:
    """Orbits against stationary states."""
    result = read(ROOT / "experiments/lagrangian-semiclassics/result.json")
    if result is None:
        return []
    lines = result["lines"]
    levels = next(iter(lines.values()))["level"]
    rows = [
        "",
        "Orbits whose loop is 2πħ(n + 1/2) against stationary states of p²/2 + q²/2 + 0.3 q⁴/4: relative "
        "errors of the energy, of its slopes, and of the answer of <q⁴>/4 to a nudge by q²/2, which is "
        "the gradient of <q²>/2 (`eqprop reproduce lagrangian-semiclassics`):",
        "",
        f"| quantity | {' | '.join(f'n = {level}' for level in levels)} | order |",
        "|---" * (len(levels) + 2) + "|",
    ]
    for name, line in lines.items():
        shown = " | ".join(f"{error:.0e}" for error in line["error"])
        rows.append(f"| {name} | {shown} | {line['order']:.1f} |")
    return rows


def costs() -> list[str]:
    """What paths and echoes cost."""
    result = read(ROOT / "experiments/lagrangian-cost/result.json")
    if result is None:
        return []
    steps, size, memory = (result[key] for key in ("by_steps", "by_size", "memory"))
    most = max(steps["gradient_over_free"] + size["gradient_over_free"])
    echo, tape = ([ways[0], ways[-1]] for ways in memory["bytes"].values())
    return [
        "",
        f"A step of Newton's method takes time of order {steps['order']:.2f} in the number of time steps "
        f"(up to {max(steps['steps'])}) and {size['order']:.2f} in the number of oscillators (up to "
        f"{max(size['size'])}); the gradient by two nudged solutions at most {most:.1f} times the free "
        f"one. From {memory['lengths'][0]} to {memory['lengths'][-1]} steps the working memory of a "
        f"layer's gradient goes from {echo[0] / 1e3:.0f} to {echo[1] / 1e3:.0f} kB by the echo, and from "
        f"{tape[0] / 1e6:.1f} to {tape[1] / 1e6:.1f} MB by BPTT (`eqprop reproduce lagrangian-cost`, with "
        "figure).",
    ]


def ways() -> list[str]:
    """Gradients of initial-value problems, against BPTT and Diffrax."""
    result = read(ROOT / "benchmarks/dynamics.json")
    if result is None:
        return []
    rows = [
        "",
        "The gradient of a final state in eight parameters of three driven Duffing oscillators, float64 "
        f"(`python -m benchmarks.dynamics`, Diffrax {result['diffrax']}), after a time of "
        f"{result['time']:g}; the error is against the gradient of the equations of motion. The echo "
        f"differs from BPTT through the same steps by at most {max(result['echo_from_bptt']):.0e}:",
        "",
        "| steps | way | ms | over the echo | working memory (kB) | error |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        echo = next(
            r["ms"] for r in result["rows"] if r["way"] == "echo" and r["steps"] == row["steps"]
        )
        rows.append(
            f"| {row['steps']} | {row['way']} | {row['ms']:.2f} | {row['ms'] / echo:.1f} | "
            f"{row['bytes'] / 1e3:.0f} | {row['error']:.0e} |"
        )
    return rows


def _accuracy(error: dict[str, float], seeds: int) -> str:
    mean = f"{100 - error['mean']:.2f}"
    return mean if seeds == 1 else f"{mean} ± {error['std']:.2f}"
