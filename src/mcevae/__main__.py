"""`python -m mcevae` is the command line."""

from mcevae.cli import main

main()
