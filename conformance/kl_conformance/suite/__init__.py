"""The pytest suite: ``pytest --pyargs kl_conformance.suite --framework torch``."""
