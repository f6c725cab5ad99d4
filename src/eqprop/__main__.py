"""``python -m eqprop``."""

from eqprop.cli.main import main

main()
