"""Where equilibrium propagation began: Scellier and Bengio 2017, Laborieux et al. 2021."""
