"""Lagrangian equilibrium propagation: Massar, arXiv 2505.07363, and the echo."""
