"""The pictures of the site, each by a short script that runs the package."""
