"""XLA's compiler for CPUs is wrong from jaxlib 0.10.2 on: here it is kept from its faulty fusion.

What XLA names ``__ynn_fusion`` joins a product with what follows it into one kernel, and such kernels
return garbage for some programs (`PROGRAMS`) without a word. Kernels of one product, convolution or
reduction alone are right, and all that 0.10.1 makes. `disarm` asks the same of later
releases, by XLA_FLAGS, before XLA reads them. Releases after `LAST_TRIED` are tried once, by the
programs that fail.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

OPTION = "--xla_cpu_experimental_ynn_fusion_type"

REMEDY = f"{OPTION}=INDIVIDUAL_DOT"

FIRST_FAULTY = (0, 10, 2)

LAST_TRIED = (0, 12, 0, 1)

PROGRAMS = """
import jax, jax.numpy as jnp, numpy as np

def energy(w, v, x):
    return 0.5 * v @ v + jnp.sum((w @ v) ** 2) - v @ x

rng = np.random.default_rng(0)
w, v, x, e = (rng.normal(size=s).astype("f") for s in ((3, 3), (40000, 3), (40000, 3), (5, 60, 60)))
energies = jax.jit(jax.vmap(energy, (None, 0, 0)))(w, v, x)
right = 0.5 * (v * v).sum(1) + ((v @ w.T) ** 2).sum(1) - (v * x).sum(1)
assert np.allclose(energies, right, 1e-3, 1e-3)
sums = jax.jit(lambda e, c: jnp.sum((e @ jnp.full_like(e, c)) * e, -1))(e, 0.37)
assert np.allclose(sums, ((e @ np.full_like(e, 0.37)) * e).sum(-1), 1e-3, 1e-2)
print("right")
"""


def disarm() -> None:
    """Set XLA_FLAGS so that products on CPUs are right, whatever jaxlib this is; a flag of the user's own
    stands. Warns where that cannot be: the back end has started already, or no flag helps."""
    version = metadata.version("jaxlib")
    flags = os.environ.get("XLA_FLAGS", "")
    if OPTION in flags or not is_faulty(version):
        return
    if has_started():
        import jax

        if jax.default_backend() == "cpu":
            warnings.warn(
                f"jaxlib {version} computes some products wrongly on CPUs, and JAX started before eqprop "
                f"could keep it from that. Import eqprop first, or set XLA_FLAGS={REMEDY}, or install "
                "jaxlib 0.10.1.",
                stacklevel=3,
            )
        return
    os.environ["XLA_FLAGS"] = f"{flags} {REMEDY}".strip()


def is_faulty(version: str) -> bool:
    """Whether products of this jaxlib need the remedy: known for releases that were tried, else found out
    once and kept in the cache folder."""
    release = tuple(int(part) for part in re.findall(r"\d+", version)[:4])
    if release <= LAST_TRIED:
        return release >= FIRST_FAULTY
    kept = _cache(version)
    if kept is not None and kept.exists():
        return kept.read_text() == "faulty"
    flags = os.environ.get("XLA_FLAGS", "")
    faulty = not computes_rightly(flags)
    if faulty and not computes_rightly(f"{flags} {REMEDY}"):
        warnings.warn(
            f"jaxlib {version} computes some products wrongly on CPUs, and no remedy is known. Install "
            "jaxlib 0.10.1, or a later eqprop; results on GPUs are not concerned.",
            stacklevel=4,
        )
        return False
    if kept is not None:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text("faulty" if faulty else "right")
        except OSError:
            pass  # found out again next time
    return faulty


def computes_rightly(flags: str) -> bool:
    """Run `PROGRAMS` on this machine's CPU under ``flags``, in a process of their own."""
    surroundings = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAMS],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() == "right"


def has_started() -> bool:
    """Whether JAX has a back end already: XLA reads its flags once, then."""
    if "jax" not in sys.modules:
        return False
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()


def _cache(version: str) -> Path | None:
    try:
        import pooch

        return Path(pooch.os_cache("eqprop")) / f"compiler-{version}"
    except (RuntimeError, KeyError, OSError):
        return None  # neither HOME nor an entry for this user
