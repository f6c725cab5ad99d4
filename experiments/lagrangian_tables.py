"""The README's tables of dynamical systems."""

from __future__ import annotations

from experiments.committed import ROOT, read


def gradients() -> list[str]:
    """Errors of every rule, beside the reported ones."""
    result = read(ROOT / "experiments/lagrangian-gradient/result.json")
    if result is None:
        return []
    rows = [
        "",
        "Relative error of the gradient of driven Duffing oscillators, three coupled ones with eight "
        "parameters, float64 (`eqprop reproduce lagrangian-gradient`; reported: another "
        "calculation, of a system of the same kind with other numbers):",
        "",
        "| rule | reported | ours | cosine | against |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        rows.append(
            f"| {row['check']} | {row['reported']:.1e} | {row['error']:.1e} | {row['cosine']:.6f} | "
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
        f"Sequential MNIST by stacked oscillators, {len(result['seeds'])} seeds, test accuracy % "
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
            f"{100 - error['mean']:.2f} ± {error['std']:.2f} | {apart:.0e} | {case['seconds']:.0f} |"
        )
    return rows
