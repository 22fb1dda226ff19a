"""The execution of a run loses no result."""

from pathlib import Path

import pytest

from kl_conformance.runs.execution import RunOptions, execute
from kl_conformance_testkit.command import CORRECT, run_cli
from kl_reports.files import RunFileError
from kl_reports.runfile.records import Run


def test_a_run_file_that_cannot_be_written_leaves_its_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the disk is full at the end, the workers' own files can be merged into another file."""

    def fail(path: Path, run: Run) -> None:
        del run
        raise RunFileError(path, "cannot be written: No space left on device")

    output = tmp_path / "a run.jsonl.gz"
    options = RunOptions((CORRECT,), profile="quick", keyword="values/sum", output=output)
    assert execute(options, save=fail) == 3
    err = capsys.readouterr().err
    assert "No space left on device; the results so far are kept: kl-conformance merge" in err
    (folder,) = tmp_path.iterdir()
    assert f"kl-conformance merge '{folder}' -o RUN" in err
    done = run_cli("merge", folder, "-o", "merged.jsonl.gz", at=tmp_path)
    assert done.code == 0, done.all
