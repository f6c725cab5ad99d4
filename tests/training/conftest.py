"""One finished run, which every module may read and none may change."""

from contextlib import contextmanager

import jax
import pytest

import eqprop as eq
from eqprop.training import epoch
from helpers import small


@contextmanager
def _trained():
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(epoch, "STEPS_A_CALL", small.A_CALL)
        yield


@pytest.fixture(scope="module")
def as_trained():
    """Two compiled calls an epoch; and Optax's schedules mix integers and floats."""
    with _trained():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The run that nothing happened to."""
    with _trained():
        return eq.fit(small.training(), tmp_path_factory.mktemp("finished") / "run", audit=True)
