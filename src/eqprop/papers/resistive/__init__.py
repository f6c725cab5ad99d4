"""Resistive networks: Kendall et al., arXiv 2006.01981; Scellier, arXiv 2402.11674."""
