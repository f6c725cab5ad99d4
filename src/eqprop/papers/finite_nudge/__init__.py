"""Finite-nudge equilibrium propagation at a temperature: Litman, arXiv 2511.22024."""
