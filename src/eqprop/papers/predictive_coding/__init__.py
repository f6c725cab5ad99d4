"""Predictive coding: Goemaere et al., arXiv 2505.20137; Innocenti et al., arXiv 2505.13124."""
