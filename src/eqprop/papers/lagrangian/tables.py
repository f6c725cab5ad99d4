"""Tables of dynamical systems."""

from __future__ import annotations

from eqprop.papers.tables import Result, accuracy, of, results, table

RESULTS = results("lagrangian")


@of(RESULTS / "lagrangian-mnist/result.json")
def headline(result: Result) -> list[str]:
    case = result["cases"][0]
    shown = accuracy(case["test_error_percent"], len(case["runs"]))
    return [f"sequential MNIST, {case['line']}, test accuracy %", "–", shown]


@of(RESULTS / "lagrangian-gradient/result.json")
def gradients(result: Result) -> list[str]:
    """Errors of every rule, beside the reported ones."""
    rows = [
        (
            row["check"],
            f"{row['reported']:.1e}" if row["reported"] else "–",
            f"{row['error']:.1e}",
            f"{row['cosine']:.6f}",
            row["against"],
        )
        for row in result["rows"]
    ]
    orders = ", ".join(f"{name} {line['order']:.2f}" for name, line in result["lines"].items())
    return [
        *table(
            "Relative error of the gradient in float64 (`eqprop reproduce lagrangian-gradient`): three "
            "coupled driven Duffing oscillators with eight parameters, a driven double pendulum with "
            "four, two pendulums on a spring with three, and friction besides. Reported: another "
            "calculation, of Duffing oscillators with other numbers. The cost is half the integral of "
            "the squared error over time; the drive of a periodic path is above the system's own "
            "frequencies; the ε of an echo is what all nudges of the momenta add up to:",
            ("rule", "reported", "ours", "cosine", "against"),
            rows,
        ),
        "",
        f"Fitted orders in the nudge: {orders}.",
    ]


@of(RESULTS / "lagrangian-learning/result.json")
def learning(result: Result) -> list[str]:
    """Losses of paths that learn."""
    rows = []
    for name, task in result["tasks"].items():
        ep, adjoint = task["losses"]["EP"], task["losses"]["adjoint"]
        losses = f"{ep[0]:.1e}", f"{ep[-1]:.2e}", f"{adjoint[-1]:.2e}"
        rows.append((name, len(ep) - 1, *losses, f"{task['parameters_apart']:.0e}"))
    return table(
        f"Paths that learn, symmetric nudges of {result['beta']:g} against the adjoint from the same "
        "start (`eqprop reproduce lagrangian-learning`); apart: distance of the learnt parameters over "
        "the distance they moved:",
        ("task", "steps", "loss before", "after, EP", "after, adjoint", "apart"),
        rows,
    )


@of(RESULTS / "lagrangian-mnist/result.json")
def sequences(result: Result) -> list[str]:
    """Test accuracy of sequential MNIST."""
    rows = [
        (
            case["line"],
            "-".join(map(str, case["reading"]["widths"])),
            case["reading"]["epochs"],
            *_learnt(case),
        )
        for case in result["cases"]
    ]
    return table(
        f"Sequential MNIST by stacked oscillators, seeds {result['seeds']}, test accuracy % "
        "(`eqprop reproduce lagrangian-mnist`); the gradient's relative error is that of the echo "
        "against BPTT on the trained model, float32:",
        ("reading", "layers", "epochs", "accuracy", "gradient error", "seconds a run"),
        rows,
    )


@of(RESULTS / "lagrangian-response/result.json")
def responses(result: Result) -> list[str]:
    """Test accuracy of a driven network."""
    return table(
        f"Digits by the periodic response of {result['hidden']} + 10 driven oscillators, Adam, "
        f"{result['epochs']} epochs (`eqprop reproduce lagrangian-response`); the gradient's relative "
        f"error on the trained network is that of symmetric nudges of {result['beta']:g} against the "
        "adjoint:",
        ("gradient", "test accuracy %", "gradient error", "seconds"),
        [(case["line"], *_learnt(case)) for case in result["cases"]],
    )


def _learnt(case: Result) -> tuple[str, str, str]:
    """Accuracy, largest gradient error over seeds, and seconds."""
    apart = max(run["gradient_error"] for run in case["runs"])
    shown = accuracy(case["test_error_percent"], len(case["runs"]))
    return shown, f"{apart:.0e}", f"{case['seconds']:.0f}"


@of(RESULTS / "lagrangian-semiclassics/result.json")
def semiclassics(result: Result) -> list[str]:
    """Orbits against stationary states."""
    lines = result["lines"]
    levels = next(iter(lines.values()))["level"]
    rows = [
        (name, *(f"{error:.0e}" for error in line["error"]), f"{line['order']:.1f}")
        for name, line in lines.items()
    ]
    return table(
        "Orbits whose loop is 2πħ(n + 1/2) against stationary states of p²/2 + q²/2 + 0.3 q⁴/4: relative "
        "errors of the energy, of its slopes, and of the answer of <q⁴>/4 to a nudge by q²/2, which is "
        "the gradient of <q²>/2 (`eqprop reproduce lagrangian-semiclassics`):",
        ("quantity", *(f"n = {level}" for level in levels), "order"),
        rows,
    )


@of(RESULTS / "lagrangian-cost/result.json")
def costs(result: Result) -> list[str]:
    """What paths and echoes cost."""
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


TABLES = {
    "gradients": gradients,
    "learning": learning,
    "responses": responses,
    "sequences": sequences,
    "semiclassics": semiclassics,
    "costs": costs,
}
