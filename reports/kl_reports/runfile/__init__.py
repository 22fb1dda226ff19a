"""The run file: its records, lines, reading, following and merging."""
