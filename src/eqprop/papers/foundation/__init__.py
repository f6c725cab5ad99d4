"""The foundation: Scellier and Bengio 2017, Laborieux et al. 2021."""
