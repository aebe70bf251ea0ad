"""`python -m server` is `infirmary`."""

from server.cli import main

main()
