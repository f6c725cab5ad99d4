"""Pictures of runs; the only room that loads matplotlib."""
