"""Oscillator Ising machines: Gower, arXiv 2510.12934."""
