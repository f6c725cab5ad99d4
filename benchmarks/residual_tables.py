"""Tables of the benchmark of residual networks."""

from __future__ import annotations

from pathlib import Path

from eqprop.papers.tables import Result, of, table

SWEEPS = ("4 + 2", "2 + 2", "2 + 1", "1 + 1")
SCHEDULES = ("published", "blockwise", "momentum", "spectral")


@of(Path(__file__).with_name("residual.json"))
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


@of(Path(__file__).with_name("weak_feedback.json"))
def weak_feedback(result: Result) -> list[str]:
    """The cost of a gradient beside back-propagation, and its cosine with the exact one."""
    widths = [name for name in result if name.startswith("width ")]
    times = [
        (
            width,
            contrast,
            *(
                f"{result[width]['times'][f'{contrast}, {n}']['back_propagations']:.1f}"
                for n in SWEEPS
            ),
        )
        for width in widths
        for contrast in ("symmetric", "one-sided")
    ]
    cosines = [
        (state, f"{feedback}", *map(_agreed, (found[f"{feedback}, {way}"] for way in _ways())))
        for state in ("at initialisation", "after training")
        for found in (result[widths[0]][state],)
        for feedback in ("0.03", "0.01", "0.003")
    ]
    return [
        *table(
            f"Hopfield-ResNet13 of weak feedback, differences in free + nudged sweeps: one gradient of "
            f"{result['batch']} images, in back-propagations of the same layers "
            "(`python -m benchmarks.weak_feedback`):",
            ("", "contrast", *SWEEPS),
            times,
        ),
        *table(
            "Cosine of the one-sided gradient with the exact one, and of its worst parameter, "
            f"{widths[0]}; beside it that of back-propagation:",
            ("", "feedback", *SWEEPS, "back-propagation"),
            cosines,
        ),
    ]


def _ways() -> list[str]:
    return [*(f"one-sided, {sweeps}" for sweeps in SWEEPS), "back-propagation"]


def _agreed(row: dict[str, float]) -> str:
    return f"{row['cosine']:.4f} ({row['worst']:.4f})"
