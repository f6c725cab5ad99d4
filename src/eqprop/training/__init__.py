"""Data, epochs, run folders, figures of a run."""
