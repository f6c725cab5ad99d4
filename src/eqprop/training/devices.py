"""Many devices: parameters whole on each of them, every batch split over them.

One program runs on all devices (`jax.jit` with `NamedSharding`): XLA's partitioner splits what follows from
a split batch, sums the gradients, and lets a relaxation go on until the slowest example of the whole batch
has settled. Random numbers are drawn for the whole batch, so that they do not depend on the devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

BATCH = "batch"

T = TypeVar("T")


@dataclass(frozen=True)
class Devices:
    """A row of devices; without a mesh, JAX's default device and nothing to split."""

    mesh: Mesh | None = None

    @property
    def count(self) -> int:
        return 1 if self.mesh is None else self.mesh.size

    def check_batch(self, batch_size: int) -> None:
        """Raise ``ValueError`` where the devices do not divide a batch."""
        rest = batch_size % self.count
        if rest:
            below, above = batch_size - rest, batch_size - rest + self.count
            nearest = f"{below} or {above}" if below else f"{above}"
            raise ValueError(
                f"batch_size: expected a multiple of the {self.count} devices, got {batch_size}; use "
                f"{nearest}, or another number of devices."
            )

    def split(self, batch: T) -> T:
        """In a compiled function: arrays of shape (batch, ...), a share on each device."""
        return self._constrain(batch, PartitionSpec(BATCH))

    def copied(self, tree: T) -> T:
        """In a compiled function: arrays whole on each device."""
        return self._constrain(tree, PartitionSpec())

    def filled(self, batch: PyTree) -> PyTree:
        """A batch that the devices divide: its first examples once more at the end, as needed."""
        examples = len(jax.tree.leaves(batch)[0])
        missing = -examples % self.count
        if not missing:
            return batch
        at = jnp.arange(examples + missing) % examples
        return jax.tree.map(lambda a: a[at], batch)

    def place(self, tree: T) -> T:
        """Arrays, the same on all hosts, whole on each device; what is no array stays as it is."""
        if self.mesh is None:
            return tree
        whole = NamedSharding(self.mesh, PartitionSpec())

        def one(leaf: Array | np.ndarray) -> Array:
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                data = one(jax.random.key_data(leaf))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
            held = np.asarray(leaf)
            return jax.make_array_from_callback(held.shape, whole, lambda index: held[index])

        return jax.tree.map(lambda leaf: one(leaf) if _is_array(leaf) else leaf, tree)

    def fetch(self, tree: T) -> T:
        """Arrays that are whole on each device, on this host's first device alone."""
        if self.mesh is None:
            return tree
        return jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf)) if _is_array(leaf) else leaf, tree
        )

    def _constrain(self, tree: T, spec: PartitionSpec) -> T:
        if self.mesh is None:
            return tree
        return lax.with_sharding_constraint(tree, NamedSharding(self.mesh, spec))


ONE = Devices()


def over(count: int = 0) -> Devices:
    """The first ``count`` devices; 0 is one, or all of them where several hosts were joined.

    Raises ``ValueError`` where there are not so many, or where a host would have none to work on.
    """
    found, hosts = jax.devices(), jax.process_count()
    if hosts > 1 and count not in (0, len(found)):
        raise ValueError(
            f"devices: expected all {len(found)} of the {hosts} processes, got {count}; leave it out, and "
            "choose what each process sees (CUDA_VISIBLE_DEVICES)."
        )
    if not 0 <= count <= len(found):
        kinds = ", ".join(sorted({device.device_kind for device in found}))
        raise ValueError(
            f"devices: expected a number from 0 to {len(found)}, which is what JAX finds here ({kinds}), "
            f"got {count}; XLA_FLAGS=--xla_force_host_platform_device_count={count} simulates more."
        )
    count = len(found) if hosts > 1 else count
    if count <= 1:
        return ONE
    return Devices(Mesh(np.asarray(found[:count]), (BATCH,), axis_types=(AxisType.Auto,)))


def _is_array(leaf: object) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)
