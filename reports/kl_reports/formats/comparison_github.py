"""Workflow commands of GitHub Actions for a comparison."""

from collections.abc import Sequence

from kl_reports.comparison.change import Bucket
from kl_reports.comparison.compare import Comparison
from kl_reports.formats.comparison_text import NAMED, bucket_text, cell_lines, headline
from kl_reports.formats.github import command


def commands(comparison: Comparison, fail_on: Sequence[Bucket]) -> str:
    """Return an ``::error`` for each cell in a bucket that fails, and one ``::notice`` with the counts."""
    lines = [
        command("error", f"kl-conformance: {bucket_text(bucket)}", "", "\n".join(cell_lines(comparison, change)))
        for bucket in fail_on
        for change in comparison.of(bucket)[:NAMED]
    ]
    lines.append(command("notice", "kl-conformance compare", "", f"{headline(comparison)}."))
    return "\n".join(lines) + "\n"
