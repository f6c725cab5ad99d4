"""Hopfield-ResNet: Elayedam and Srinivasan, arXiv 2509.26003."""
