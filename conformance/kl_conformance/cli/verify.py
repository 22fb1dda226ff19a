"""`verify`: verifies a user kernel in worker processes and prints its verdict."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from kl_conformance.cli.options import names, output, output_format, path_option, profile, seed
from kl_conformance.cli.output import CANNOT, FINDINGS, FINE, cannot
from kl_conformance.cli.report import write_report
from kl_conformance.diagnosis.causes import likely_cause
from kl_conformance.diagnosis.confirmation import confirmed
from kl_conformance.runs.execution import RunOptions, execute
from kl_conformance.runs.worker import FAILED, OK
from kl_reports.analysis.kernel import failures, judged
from kl_reports.files import RunFileError
from kl_reports.formats.github import github
from kl_reports.formats.junit import junit
from kl_reports.formats.verdict_json import verdict
from kl_reports.formats.verdict_text import verdict_text
from kl_reports.runfile.file import read, write
from kl_reports.runfile.records import Run

EXAMPLES = """\b
Examples:
  kl-conformance verify my_pkg.kernels:my_kl --like torch.nn.functional.kl_div
  kl-conformance verify kernels.py:MyLoss --like torch.nn.KLDivLoss --dtype float16,bfloat16 --profile quick
  kl-conformance verify kernels.py:c_kl --like scipy.special.rel_entr --report page.html
  kl-conformance verify kernels.py:my_kl --like torch.nn.functional.kl_div --format junit > kl.xml"""


@click.command(epilog=EXAMPLES)
@click.argument("kernel")
@click.option("--like", required=True, help="The built-in implementation that the kernel follows.")
@click.option("--framework", default="", help="The library of the kernel's arrays, if not that of --like.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@names("--dtype", "dtypes", "Dtypes, as in float16,bfloat16; by default all.")
@click.option("--shape", default="", help="A further size to test, as in 2048x131072 (rows x classes).")
@profile
@seed
@click.option("--strict", is_flag=True, help="Do not excuse the known deviations of --like.")
@output("kl-verify.jsonl.gz", "The run file.")
@path_option("--report", "Also write an HTML page.")
@output_format(
    "text",
    "json",
    "github",
    "junit",
    help_text="Format of the verdict: text, one JSON object, GitHub workflow commands or JUnit XML.",
)
def verify(
    kernel: str, framework: str, device: str, output: Path, report: Path | None, output_format: str, **options: Any
) -> int:
    """Verify a kernel: a function, module or loss class, as MODULE:NAME or FILE.py:NAME.

    All requirements that apply to --like are evaluated on it, in worker processes. Only the verdict is written to
    standard output. Exit codes: 0 it conforms, 1 a requirement failed, 2 it could not be tested.
    """
    library = (framework,) if framework else ()
    with redirect_stdout(sys.stderr):
        selected = RunOptions((kernel,), library, (device,), output=output, command="verify", **options)
        if execute(selected, lambda run: "") not in {OK, FAILED}:
            return CANNOT
        try:
            run = _confirmed(output, kernel)
        except RunFileError as error:
            return cannot("verify", error)
        page_failed = 0 if report is None else write_report(run, report)
    file = kernel.rpartition(":")[0]
    print(_verdict(run, output_format, file if file.endswith(".py") else ""), end="")
    return page_failed or (FINDINGS if failures(run) else FINE if judged(run) else CANNOT)


def _confirmed(file: Path, kernel: str) -> Run:
    """Return the run with a confirmed reproducer for each failure, and write it to its file."""
    run = read(file)
    if failures(run):
        print("Confirming the failures, each in a process of its own …")
    run = confirmed(run, kernel)
    write(file, run)
    return run


def _verdict(run: Run, output_format: str, file: str) -> str:
    """Return the verdict in a format; ``file`` is the kernel's source file, empty if unknown."""
    cause = likely_cause(run)
    match output_format:
        case "json":
            return verdict(run, cause) + "\n"
        case "github":
            return github(run, cause, file)
        case "junit":
            return junit(run, cause)
        case _:
            return verdict_text(run, cause)
