"""The limits of real machines, as three seams: what a device makes of its parameters (`Program`), what it
shows of a settled state (`ReadOut`), and how it takes an update (Optax transforms)."""

from eqprop.hardware.faults import Detuned, Stuck, detuned, stuck
from eqprop.hardware.grid import Ranges, to_circle, to_grid
from eqprop.hardware.instance import Instance
from eqprop.hardware.machine import gradient_from_phases, programmed, read_back
from eqprop.hardware.netlist import netlist
from eqprop.hardware.on_device import Programmed
from eqprop.hardware.program import (
    Asymmetry,
    Limit,
    Mismatch,
    Program,
    Programs,
    Quantise,
    couplings,
    fields,
    injections,
    straight_through,
)
from eqprop.hardware.read_out import ReadBits, ReadNoise, ReadOut
from eqprop.hardware.writing import clipped, on_grid, pulsed

__all__ = [
    "Asymmetry",
    "Detuned",
    "Instance",
    "Limit",
    "Mismatch",
    "Program",
    "Programmed",
    "Programs",
    "Quantise",
    "Ranges",
    "ReadBits",
    "ReadNoise",
    "ReadOut",
    "Stuck",
    "clipped",
    "couplings",
    "detuned",
    "fields",
    "gradient_from_phases",
    "injections",
    "netlist",
    "on_grid",
    "programmed",
    "pulsed",
    "read_back",
    "straight_through",
    "stuck",
    "to_circle",
    "to_grid",
]
