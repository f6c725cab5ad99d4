"""Data sets, their files, and what is done to images."""
