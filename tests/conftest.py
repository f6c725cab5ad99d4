"""Every test runs in float64, without implicit promotion, and with annotations checked."""

import jax
import jaxtyping
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jaxtyping.install_import_hook("eqprop", "beartype.beartype")

settings.register_profile("eqprop", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("eqprop")
