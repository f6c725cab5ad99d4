"""Runs as a page of their own: one HTML file, which needs no network."""
