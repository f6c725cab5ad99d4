"""Stochastic spiking equilibrium propagation: Lin, Jiang and Sengupta, arXiv 2511.11320."""
