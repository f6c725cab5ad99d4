"""What several of these files need."""

import jax
import pytest


@pytest.fixture
def promotion():
    """Optax's Adam mixes integers and floats, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield
