"""Products on CPUs are right, whatever XLA makes of them; faulty releases are kept from their fusion."""

import itertools
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop import _compiler

KEY = jax.random.key(0)


def joined(params, state, x):
    """A small product and its reduction, which faulty compilers join into one wrong kernel."""
    v = state["v"]
    return 0.5 * v @ v + jnp.sum((params["w"] @ v) ** 2) - v @ x


def exact(w, v, x):
    return 0.5 * np.sum(v * v, -1) + np.sum((v @ w.T) ** 2, -1) - np.sum(v * x, -1)


def model(dtype):
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 3)), rng.normal(size=(40_000, 3))
    params = {"w": jnp.asarray(w, dtype)}
    energy = eq.FunctionEnergy(joined, params, {"v": (3,)})
    return eq.Model(energy, eq.SquaredError("v")), w, x


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_energies_of_many_states(dtype):
    own, w, x = model(dtype)
    v = np.random.default_rng(1).normal(size=x.shape)
    found = jax.jit(jax.vmap(own.energy))({"v": jnp.asarray(v, dtype)}, jnp.asarray(x, dtype))
    np.testing.assert_allclose(found, exact(w, v, x), 1e4 * jnp.finfo(dtype).eps, 1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_product_with_a_constant_matrix(dtype):
    e = np.random.default_rng(0).normal(size=(5, 60, 60))
    program = jax.jit(lambda e, c: jnp.sum((e @ jnp.full_like(e, c)) * e, -1))
    found = program(jnp.asarray(e, dtype), 0.37)
    np.testing.assert_allclose(found, (e @ np.full_like(e, 0.37) * e).sum(-1), 1e-3, 1e-2)


def curie_weiss(dtype, unit):
    """Units (2, 5) of which each row couples all to all by one number."""

    def energy(params, state, x):
        s = state["s"]
        return jnp.sum((s @ jnp.full((5, 5), params["c"])) * s) - jnp.sum(x * s)

    params = {"c": jnp.asarray(0.37, dtype)}
    own = eq.FunctionEnergy(energy, params, {"s": (2, 5)}, {"s": unit})
    x = np.random.default_rng(0).normal(size=(200, 2, 5))
    return eq.Model(own, eq.SquaredError("s")), x


def curie_weiss_exact(s, x):
    return np.sum(0.37 * s.sum(-1) ** 2, -1) - np.sum(x * s, (-1, -2))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_enumeration(dtype):
    own, x = curie_weiss(dtype, eq.Spin())
    spins = np.array(list(itertools.product([-1.0, 1.0], repeat=10))).reshape(-1, 2, 5)
    given = jnp.asarray(x, dtype)
    found = jax.jit(eq.thermal.Enumeration(1.0).free_energy)(
        eq.thermal.Phases(own, given, given, jnp.zeros(1, dtype))
    )[0]
    exact = -np.log(np.sum(np.exp(-curie_weiss_exact(spins[None], x[:, None])), -1))
    np.testing.assert_allclose(found, exact, 1e4 * jnp.finfo(dtype).eps)


def test_chains():
    own, x = curie_weiss(jnp.float64, eq.Box(-1.0, 1.0))
    kernel = eq.thermal.UnadjustedLangevin(0.01)
    chains = eq.thermal.Chains(1.0, kernel, chains=8, burn=1, samples=1, thinning=1)

    def energies(states, weights):
        return jax.vmap(jax.vmap(own.energy, (0, None)))({"s": states["s"][0]}, x)

    @jax.jit
    def program(x):
        phases = eq.thermal.Phases(own, x, x, jnp.zeros(1))
        return chains.average(phases, own.rest(x), KEY, energies)

    found = program(jnp.asarray(x))
    exact = curie_weiss_exact(np.asarray(found.states["s"][0]), x[:, None])
    np.testing.assert_allclose(found.mean, exact, 1e-12)


@pytest.mark.parametrize(
    ("version", "faulty"),
    [("0.10.1", False), ("0.10.2", True), ("0.11.0", True), ("0.12.0.1", True)],
)
def test_releases_that_were_tried(version, faulty):
    assert _compiler.is_faulty(version) is faulty


@pytest.mark.parametrize(
    ("answers", "faulty"), [([True], False), ([False, True], True), ([False, False], False)]
)
def test_a_release_that_nobody_tried_is_tried_once(answers, faulty, monkeypatch, tmp_path):
    tried = []

    def computes_rightly(flags):
        tried.append(flags)
        return answers[len(tried) - 1]

    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(_compiler, "computes_rightly", computes_rightly)
    monkeypatch.setattr(_compiler, "_cache", lambda version: tmp_path / "folder" / version)
    if any(answers):
        assert [_compiler.is_faulty("99.1") for _ in range(2)] == [faulty, faulty]
        assert len(tried) == len(answers)  # the second time it is known
    else:
        with pytest.warns(UserWarning, match=r"no remedy is known. Install jaxlib 0\.10\.1"):
            assert not _compiler.is_faulty("99.1")
    assert [_compiler.REMEDY in flags for flags in tried] == [False, True][: len(tried)]


def test_the_trial_is_of_programs_that_run():
    assert _compiler.computes_rightly(os.environ.get("XLA_FLAGS", ""))


@pytest.mark.parametrize(
    ("flags", "started", "expected"),
    [
        ("", False, _compiler.REMEDY),
        ("--xla_dump_to=x", False, f"--xla_dump_to=x {_compiler.REMEDY}"),
        (f"{_compiler.OPTION}=", False, f"{_compiler.OPTION}="),
        ("", True, ""),
    ],
)
def test_the_flag_is_set_before_the_back_end_starts(flags, started, expected, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(_compiler.metadata, "version", lambda name: "0.10.2")
    monkeypatch.setattr(_compiler, "has_started", lambda: started)
    if started:
        with pytest.warns(UserWarning, match="Import eqprop first, or set XLA_FLAGS="):
            _compiler.disarm()
    else:
        _compiler.disarm()
    assert os.environ["XLA_FLAGS"] == expected


def test_a_back_end_that_runs_is_seen(monkeypatch):
    jax.devices()
    assert _compiler.has_started()
    monkeypatch.delitem(sys.modules, "jax")
    assert not _compiler.has_started()
