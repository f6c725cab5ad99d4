"""``python -m eqprop``."""

from eqprop.cli import main

main()
