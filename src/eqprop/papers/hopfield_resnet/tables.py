"""Tables of residual networks."""

from __future__ import annotations

from functools import partial

from eqprop.papers.tables import Result, accuracy, by_case, of, of_each, results, seeds

REPORTED = "93.92"
"""Test accuracy of CIFAR-10 in percent, at width 128 in 300 epochs."""

TITLES = {
    "hopfield-resnet-cifar-10": "CIFAR-10 by narrow networks (Elayedam and Srinivasan, arXiv 2509.26003, "
    f"report {REPORTED} % at width 128 in 300 epochs)",
    "hopfield-resnet-cifar-10-wider": "The same of twice the width, for longer",
    "hopfield-resnet-cifar-10-widest": "Of four times the width, for longer still",
    "hopfield-resnet-vgg5": "VGG5 in the same way",
    "hopfield-resnet-ablation": "The narrow network of weak feedback, trained by momentum and "
    "RandAugment as published, changed in one thing",
}


@of(results("hopfield_resnet") / "hopfield-resnet-cifar-10-widest/result.json")
def headline(result: Result) -> list[str]:
    case = result["cases"][0]
    recipe = case["arguments"]
    width = recipe["architecture"]["width"]
    setting = f"CIFAR-10, width 128 in 300 epochs; ours {width} in {recipe['epochs']}"
    shown = accuracy(case["test_error_percent"], len(result["seeds"]))
    return [f"{setting}, test accuracy %", REPORTED, shown]


def compared(name: str) -> list[str]:
    """Test accuracy of every way of one comparison."""
    return [
        line for _, found in of_each("hopfield_resnet", [name]) for line in _compared(name, found)
    ]


def _compared(name: str, result: Result) -> list[str]:
    recipe = result["cases"][0]["arguments"]
    width = recipe["architecture"]["width"]
    subset = f" of {recipe['examples']:,} images" if recipe["examples"] else ""
    return by_case(
        f"{TITLES[name]}; width {width}, {recipe['epochs']} epochs{subset}, {seeds(result)} "
        f"(`{result['command']}`):",
        result,
    )


TABLES = {name: partial(compared, name) for name in TITLES}
