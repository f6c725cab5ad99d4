"""Every test runs in float64, without implicit promotion, and with annotations checked."""

import gc
import os
from pathlib import Path

COMPILED = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parent / ".compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",
}
"""Two thirds of the tests' time is compilation: a program is compiled once for all workers and runs."""
CHEAPLY = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1 --xla_llvm_disable_expensive_passes=true"
)
"""What runs for milliseconds is compiled with little care, three times as fast."""
for variable, value in (COMPILED | {"XLA_FLAGS": CHEAPLY}).items():
    os.environ.setdefault(variable, value)

import jax
import jaxtyping
import pytest
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
# An int is a float to beartype as it is to mypy.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
if "EQPROP_UNCHECKED" not in os.environ:  # mutants import the package a hundred times
    jaxtyping.install_import_hook("eqprop", CHECKER)

MAPS = Path("/proc/self/maps")
MANY = 40_000

gc.set_threshold(200_000, 50, 1000)  # traces make millions of objects and few cycles

settings.register_profile("eqprop", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("eqprop")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Every compiled program maps memory, and a process may map 65530 pieces of it."""
    yield
    if not MAPS.exists() or MAPS.read_bytes().count(b"\n") > MANY:
        jax.clear_caches()
        gc.collect()
