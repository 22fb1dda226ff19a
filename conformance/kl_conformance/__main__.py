"""Runs the command line: ``python -m kl_conformance``."""

from kl_conformance.cli.main import main

main()
