"""The package run as a program is its command line."""

from kl_conformance.cli.main import main

main()
