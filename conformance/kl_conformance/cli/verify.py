"""`verify`: a kernel asked in a process of its own, and its verdict in the form somebody reads."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from kl_conformance.cli.options import FORMS, PROFILES, SEED
from kl_conformance.cli.output import CANNOT, FINDINGS, FINE, cannot
from kl_conformance.cli.report import write_report
from kl_conformance.cli.run import RunOptions
from kl_conformance.cli.run import execute as execute_run
from kl_conformance.diagnosis.causes import likely_cause
from kl_conformance.diagnosis.confirmation import confirmed
from kl_conformance.runs.worker import FAILED, OK
from kl_reports.analysis.kernel import broken, judged
from kl_reports.files import RunFileError
from kl_reports.formats.github import github
from kl_reports.formats.junit import junit
from kl_reports.formats.verdict_json import verdict
from kl_reports.formats.verdict_text import verdict_text
from kl_reports.runfile.file import read, write
from kl_reports.runfile.records import Run


def execute(request: RunOptions, page: Path | None, form: str = "text") -> int:
    """Ask the kernel, print its verdict and write its page.

    Parameters
    ----------
    request
        Whom to ask what.
    page
        Where the page goes; None for no page.
    form
        ``"text"``, ``"json"``, ``"github"`` or ``"junit"``; standard output gets nothing else.

    Returns
    -------
    int
        0 where it conforms, 1 where something is broken, 2 where it cannot be asked.
    """
    with redirect_stdout(sys.stderr):
        code = execute_run(request, lambda found: "")
        if code not in {OK, FAILED}:
            return CANNOT
        try:
            found = _proven(request)
        except RunFileError as error:
            return cannot("verify", error)
        wrong = 0 if page is None else write_report(found, page)
    print(told(found, form, _file(request)), end="")
    return wrong or (FINDINGS if broken(found) else FINE if judged(found) else CANNOT)


def told(found: Run, form: str, file: str) -> str:
    """Return a verdict in one of the forms; ``file`` is where the kernel lies, empty where that is unknown."""
    cause = likely_cause(found)
    match form:
        case "json":
            return verdict(found, cause) + "\n"
        case "github":
            return github(found, cause, file)
        case "junit":
            return junit(found, cause)
        case _:
            return verdict_text(found, cause)


def _proven(request: RunOptions) -> Run:
    """Return the run, its findings with scripts that show them, and keep those in the run file."""
    found = read(request.output)
    (name,) = request.implementations
    if broken(found):
        print("Asking again what was found, each in a process of its own …")
    found = confirmed(found, name)
    write(request.output, found)
    return found


def _file(request: RunOptions) -> str:
    (name,) = request.implementations
    place = name.rpartition(":")[0]
    return place if place.endswith(".py") else ""


VERIFY = """\b
Examples:
  kl-conformance verify my_pkg.kernels:my_kl --like torch.nn.functional.kl_div
  kl-conformance verify kernels.py:MyLoss --like torch.nn.KLDivLoss --dtype float16,bfloat16 --profile quick
  kl-conformance verify kernels.py:c_kl --like scipy.special.rel_entr --report page.html
  kl-conformance verify kernels.py:my_kl --like torch.nn.functional.kl_div --format junit > kl.xml"""


@click.command(epilog=VERIFY)
@click.argument("kernel")
@click.option("--like", required=True, help="The known implementation it promises to follow.")
@click.option("--framework", default="", help="Whose tensors it takes, where not those of --like (numpy).")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--dtype", default="", help="Formats, as in float16,bfloat16; all when not given.")
@click.option("--shape", default="", help="Ask at this size as well, as in 2048x131072 (rows x classes).")
@click.option("--profile", default="standard", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@click.option(
    "--seed",
    type=int,
    default=None,
    envvar=SEED,
    show_envvar=True,
    help="Seed of the search; without it a fresh one, which is printed.",
)
@click.option("--strict", is_flag=True, help="It must be right also where --like is recorded to be wrong.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("kl-verify.jsonl.gz"),
    show_default=True,
    help="The run file.",
)
@click.option("--report", "page", type=click.Path(path_type=Path), default=None, help="Write a page as well.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default=FORMS[0],
    show_default=True,
    help="How the verdict is printed: a screen, one JSON object, workflow commands of GitHub, or JUnit XML.",
)
def verify(
    kernel: str,
    like: str,
    framework: str,
    device: str,
    dtype: str,
    shape: str,
    profile: str,
    seed: int | None,
    strict: bool,
    output: Path,
    page: Path | None,
    form: str,
) -> None:
    """Verify a kernel: a function, module or loss class at module:name or file.py:name.

    It is asked in a process of its own all that the suite asks of --like. Exit codes: 0 it conforms, 1 something
    is broken, 2 it could not be asked. The verdict is all that standard output gets.
    """
    from kl_conformance.cli.run import RunOptions

    dtypes = tuple(filter(None, dtype.split(",")))
    frameworks = (framework,) if framework else ()
    request = RunOptions(
        (kernel,), frameworks, (device,), dtypes, (), profile, seed, "", output, like, strict, "verify", shape
    )
    sys.exit(execute(request, page, form))
