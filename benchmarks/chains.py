"""Thermal chains: block Gibbs sweeps of layered spins and Langevin steps of a network, against NumPy and
PyTorch loops, and as a share of the limit: the matrix products at the machine's peak, and the drawing."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import lax
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks.timing import median_ms, peak_gflops
from eqprop.energies.energy import Clamped
from eqprop.energies.units import noise
from eqprop.energies.units.spin import Spin
from eqprop.thermal import Gibbs, Sampler, UnadjustedLangevin
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

CHAINS, TEMPERATURE, STEP = 256, 1.0, 0.05
SPINS, NET = (784, 512, 256), (784, 512, 10)
STEPS = 20

console = Console()


def weights(shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, m)) / n**0.5).astype(np.float32) for n, m in pairwise(shape)]


def steps_of(sampler: Sampler, phase: Clamped, state: dict[str, jax.Array]) -> Callable[[], object]:
    """``STEPS`` steps of all chains, compiled as one."""
    keys = jax.random.split(jax.random.key(0), CHAINS)

    @jax.jit
    def walk(states, keys):
        def chain(state, key):
            def step(i, carry):
                return sampler.step(phase, carry, jax.random.fold_in(key, i), TEMPERATURE)

            carry = sampler.init(phase, state, key, TEMPERATURE)
            return lax.fori_loop(0, STEPS, step, carry).state

        return jax.vmap(chain)(states, keys)

    states = jax.tree.map(lambda z: jnp.tile(z, (CHAINS, *[1] * z.ndim)), state)
    walk(states, keys)
    return lambda: walk(states, keys)


def our_spins() -> Callable[[], object]:
    names = ("v", "h", "top")
    layers = {name: eq.Layer(n, Spin()) for name, n in zip(names, SPINS, strict=True)}
    first, second = (eq.ops.Dense(jnp.asarray(w)) for w in weights(SPINS))
    network = eq.Network(1, layers, [("v", "h", first), ("h", "top", second)])
    phase = network.clamp(jnp.zeros(1))
    return steps_of(Gibbs(), phase, network.rest(jnp.float32))


def numpy_spins() -> Callable[[], object]:
    first, second = weights(SPINS)
    rng = np.random.default_rng(0)

    def draw(field: np.ndarray) -> np.ndarray:
        up = rng.random(field.shape, np.float32) < 1 / (1 + np.exp(-2 * field / TEMPERATURE))
        return np.where(up, np.float32(1), np.float32(-1))

    def call() -> np.ndarray:
        v, h, top = (np.ones((CHAINS, n), np.float32) for n in SPINS)
        for _ in range(STEPS):
            v, top = draw(h @ first.T), draw(h @ second)
            h = draw(v @ first + top @ second.T)
        return h

    return call


def torch_spins() -> Callable[[], object]:
    first, second = (torch.from_numpy(w) for w in weights(SPINS))

    def draw(field: torch.Tensor) -> torch.Tensor:
        return 2 * torch.bernoulli(torch.sigmoid(2 * field / TEMPERATURE)) - 1

    @torch.no_grad()
    def call() -> torch.Tensor:
        v, h, top = (torch.ones(CHAINS, n) for n in SPINS)
        for _ in range(STEPS):
            v, top = draw(h @ first.T), draw(h @ second)
            h = draw(v @ first + top @ second.T)
        return h

    return call


def our_langevin() -> Callable[[], object]:
    model = eq.layered(NET, jax.random.key(0), eq.hard_tanh(), eq.Linear())
    x = jnp.asarray(np.random.default_rng(1).uniform(0, 1, NET[0]).astype(np.float32))
    phase = model.free(x)
    return steps_of(UnadjustedLangevin(STEP), phase, model.energy.rest(jnp.float32))


def numpy_langevin() -> Callable[[], object]:
    first, second = weights(NET)
    x = np.random.default_rng(1).uniform(0, 1, NET[0]).astype(np.float32)
    rng, drive, kick = np.random.default_rng(0), x @ first, np.float32((2 * STEP) ** 0.5)

    def call() -> np.ndarray:
        h, out = (np.zeros((CHAINS, n), np.float32) for n in NET[1:])
        for _ in range(STEPS):
            field = drive + out @ second.T
            rise = h @ second
            h = h + STEP * (field - h) + kick * rng.standard_normal(h.shape, np.float32)
            h = np.abs(np.mod(h - 1, 4) - 2) - 1
            out = out + STEP * (rise - out) + kick * rng.standard_normal(out.shape, np.float32)
        return out

    return call


def torch_langevin() -> Callable[[], object]:
    """By differentiating the energy, as scripts do."""
    first, second = (torch.from_numpy(w) for w in weights(NET))
    x = torch.from_numpy(np.random.default_rng(1).uniform(0, 1, NET[0]).astype(np.float32))

    def energy(h: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        own = 0.5 * (h * h).sum() + 0.5 * (out * out).sum()
        return own - ((x @ first) * h).sum() - ((h @ second) * out).sum()

    def call() -> torch.Tensor:
        h, out = (torch.zeros(CHAINS, n, requires_grad=True) for n in NET[1:])
        for _ in range(STEPS):
            slopes = torch.autograd.grad(energy(h, out), (h, out))
            with torch.no_grad():
                h, out = (
                    z - STEP * g + (2 * STEP) ** 0.5 * torch.randn_like(z)
                    for z, g in zip((h, out), slopes, strict=True)
                )
                h = (torch.remainder(h - 1, 4) - 2).abs() - 1
            h, out = h.requires_grad_(), out.requires_grad_()
        return out

    return call


def drawing_ms(draw: Callable, count: int) -> float:
    """Milliseconds to draw one number for each of ``count`` neurons of every chain, alone."""
    keys = jax.random.split(jax.random.key(0), CHAINS)
    drawn = jax.jit(lambda keys: jax.vmap(lambda key: draw(key, (count,)))(keys))
    return median_ms(lambda: drawn(keys))


def row(name: str, calls: dict[str, Callable], flops: float, drawing: float, peak: float) -> dict:
    spent = {which: median_ms(make(), repeats=15) / STEPS for which, make in calls.items()}
    limit = flops / peak / 1e6 + drawing
    return {
        "what": name,
        "steps_a_second": 1e3 / spent["ours"],
        **{f"{which}_ms": value for which, value in spent.items()},
        "over_numpy": spent["numpy"] / spent["ours"],
        "over_torch": spent["torch"] / spent["ours"],
        "drawing_ms": drawing,
        "products_ms": flops / peak / 1e6,
        "share_of_limit": limit / spent["ours"],
    }


def products(shape: tuple[int, ...]) -> float:
    """Floating-point operations of the fields of all layers, forward and back, for all chains."""
    return 4.0 * CHAINS * sum(n * m for n, m in pairwise(shape))


def main() -> None:
    """Print the table; write ``benchmarks/chains.json``."""
    peak = peak_gflops()
    spins = {"ours": our_spins, "numpy": numpy_spins, "torch": torch_spins}
    langevin = {"ours": our_langevin, "numpy": numpy_langevin, "torch": torch_langevin}
    rows = [
        row(
            f"block Gibbs sweep, {'-'.join(map(str, SPINS))} spins",
            spins,
            products(SPINS),
            drawing_ms(noise.uniform, sum(SPINS)),
            peak,
        ),
        row(
            f"Langevin step, {'-'.join(map(str, NET))}",
            langevin,
            products(NET[1:]),
            drawing_ms(noise.normal, sum(NET[1:])),
            peak,
        ),
    ]
    shown = Table("what", "a second", "over NumPy", "over PyTorch", "share of the limit")
    for one in rows:
        numbers = one["over_numpy"], one["over_torch"]
        shown.add_row(
            one["what"],
            f"{one['steps_a_second']:.0f}",
            *(f"{number:.1f}x" for number in numbers),
            f"{one['share_of_limit']:.0%}",
        )
    shown.title = f"{CHAINS} chains, float32"
    console.print(shown)
    about = {"chains": CHAINS, "peak_gflops": peak, **surroundings()}
    write_json(Path(__file__).with_suffix(".json"), json.loads(json.dumps({"rows": rows, **about})))


if __name__ == "__main__":
    main()
