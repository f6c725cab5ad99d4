"""What a run meets on this machine."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from eqprop import _compiler
from eqprop.cli import options
from eqprop.training.data.fetch import cache_dir
from eqprop.training.data.formats import DATA_VARIABLE
from eqprop.training.data.sources import CIFAR_10, CIFAR_100, FASHION_MNIST, MNIST
from eqprop.training.files import dumps
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import doing

EXTRAS = {"tensorboardX": "tensorboard", "wandb": "wandb", "nir": "nir", "torch": "bench"}
"""Packages by the extra that brings them."""

FLOATS = ("float64", "float32", "bfloat16", "float16")

SECONDS, LARGEST = 0.15, 8192
"""A product is long enough to be timed, or large enough."""


def doctor(asked: options.Doctor) -> None:
    """Print what is found, as lines or as JSON."""
    found = surroundings()
    with doing("trying the compiler out"):
        compiler = _probed()
    with doing("timing the devices"):
        devices = [_device(device) for device in jax.local_devices()]
    told = {
        "versions": found["versions"],
        "platform": platform.platform(),
        "cpu": found["hardware"]["cpu"],
        "cores": _cores(),
        "backend": jax.default_backend(),
        "compiler": compiler,
        "devices": devices,
        "float64": _is_x64(),
        "data": _data(asked.data_dir),
        "caches": _caches(),
        "extras": {name: _version(name) for name in EXTRAS},
    }
    print(dumps(told) if asked.json else "\n".join(_lines(told)))


def _probed() -> dict[str, Any]:
    """Whether products on the CPU are right, with the flags that eqprop has set."""
    flags = os.environ.get("XLA_FLAGS", "")
    return {
        "disarmed": _compiler.OPTION in flags,
        "right": _compiler.computes_rightly(flags),
        "flags": flags,
    }


def _device(device: jax.Device) -> dict[str, Any]:
    kept = device.memory_stats() or {}
    return {
        "device": str(device),
        "kind": device.device_kind,
        "memory": kept.get("bytes_limit"),
        "float32_gflops": rate(device),
        "floats": [name for name in FLOATS if _works(device, name)],
    }


def rate(device: jax.Device) -> float:
    """Gflop/s of products of square float32 matrices, the largest that take a fraction of a second."""
    product = jax.jit(lambda a: a @ a)
    size = 256
    while True:
        a = jax.device_put(jnp.ones((size, size), jnp.float32), device)
        jax.block_until_ready(product(a))
        began = time.perf_counter()
        jax.block_until_ready(product(a))
        seconds = time.perf_counter() - began
        if seconds > SECONDS or size >= LARGEST:
            return 2e-9 * size**3 / seconds
        size *= 2


def _works(device: jax.Device, name: str) -> bool:
    """Whether the device multiplies in this type. In float64 only where JAX is asked for it."""
    if name == "float64" and not _is_x64():
        return False
    try:
        a = jax.device_put(jnp.ones((8, 8), name), device)
        return bool(jnp.all(a @ a == 8))
    except Exception:
        return False


def _is_x64() -> bool:
    return jnp.result_type(float) == jnp.float64


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _data(folder: Path | None) -> dict[str, Any]:
    """Each data set's file, or None where it is absent."""
    named = folder or os.environ.get(DATA_VARIABLE)
    place = Path(named).expanduser() if named else cache_dir()
    sets: dict[str, Any] = {"digits": "comes with eqprop"}
    for source in (MNIST, FASHION_MNIST, CIFAR_10, CIFAR_100):
        try:
            sets[source.name] = None if place is None else source.find(place)
        except FileNotFoundError:
            sets[source.name] = None
    return {"folder": place, "downloads": not named, "sets": sets}


def _caches() -> dict[str, Any]:
    places = {"eqprop": cache_dir(), "jax": getattr(jax.config, "jax_compilation_cache_dir", None)}
    return {
        name: {"folder": place, "bytes": _size(Path(place))}
        for name, place in places.items()
        if place
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _lines(told: dict[str, Any]) -> list[str]:
    compiler, data = told["compiler"], told["data"]
    right = "right" if compiler["right"] else "WRONG: install jaxlib 0.10.1, see README"
    kept = ", kept from a faulty fusion by XLA_FLAGS" if compiler["disarmed"] else ""
    rows = [("versions", ", ".join(f"{name} {v}" for name, v in told["versions"].items()))]
    rows += [("machine", f"{told['platform']}, {told['cpu']}, {told['cores']} cores")]
    rows += [("products", f"{right}{kept} (tried on the CPU)")]
    for device in told["devices"]:
        memory = f", {device['memory'] / 2**30:.0f} GiB" if device["memory"] else ""
        rows += [
            (
                told["backend"],
                f"{device['device']} ({device['kind']}{memory}): {device['float32_gflops']:.0f} Gflop/s in "
                f"float32; runs {', '.join(device['floats'])}",
            )
        ]
    rows += [("float64", "on" if told["float64"] else "off; JAX_ENABLE_X64=1 turns it on")]
    absent = "absent, downloaded on first use" if data["downloads"] else "absent"
    rows += [("data", f"in {data['folder']}")]
    rows += [(f"  {name}", str(path or absent)) for name, path in data["sets"].items()]
    for name, cache in told["caches"].items():
        rows += [("cache", f"{name}: {cache['folder']}, {cache['bytes'] / 1e6:.1f} MB")]
    for name, version in told["extras"].items():
        missing = f'absent; pip install "eqprop[{EXTRAS[name]}]"'
        rows += [("extra", f"{name} {version or missing}")]
    return [f"{name:16}{text}" for name, text in rows]
