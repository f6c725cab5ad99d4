"""The pictures of the site, each by a short script that runs the package."""

DRAWN = ("action", "contrast", "energy", "frontier", "nudge", "phase", "temperature")
"""Those that are drawn while the site is built, each by ``draw`` of the module of its name."""
