"""The pytest suite, one chapter a file: ``pytest --pyargs kl_conformance.suite --framework torch``."""
