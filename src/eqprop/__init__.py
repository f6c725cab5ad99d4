"""Equilibrium propagation: learning in systems that settle, by nudging and comparing.

The rooms: `eqprop.energies` (what settles), `eqprop.solvers` (how), `eqprop.estimators` (what is learnt);
`eqprop.thermal`, `eqprop.lagrangian`, `eqprop.spiking` and `eqprop.hardware` for other physics;
`eqprop.training` and `eqprop.papers`. To read the core in an hour: energies/units/unit.py,
energies/energy.py, energies/model.py, solvers/solver.py, solvers/relax.py, solvers/blockwise.py,
estimators/contrast.py, estimators/estimator.py, estimators/equilibrium.py, training/fit.py.
"""

import lazy_loader

from eqprop._compiler import disarm
from eqprop._version import __version__

disarm()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
