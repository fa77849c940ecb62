"""``python -m service`` is the command ``sentiment``."""

from service.cli import main

main()
