"""One witness under other library versions."""
