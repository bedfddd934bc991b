"""`python -m tombola` is the command `tombola`."""

from tombola.cli import main

main()
