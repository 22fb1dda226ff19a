"""The command line: every verb, its options, and nothing heavier than click until one is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from kl_conformance._version import __version__
from kl_conformance.cli_db import db
from kl_conformance.cli_expect import expect
from kl_conformance.cli_versions import bisect, compare, replay
from kl_conformance.ending import CANNOT, FINDINGS
from kl_conformance.verbs import Verbs, several

PROFILES = ("quick", "standard", "thorough")
FORMS = ("text", "json", "github", "junit")
SEED = "KL_CONFORMANCE_SEED"  # environment variable: the seed where --seed is not given


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kl-conformance")
def cli() -> None:
    """Tell, with evidence, whether an implementation of the Kullback-Leibler divergence is right."""


EXAMPLE = """\b
A kernel of your own is declared in Python, with what it computes:
  from kl_conformance import Convention, Implementation, Reduction, Space
  def call(modules, call):  # modules.torch is torch; call.target and call.model are tensors
      return my_kl(call.model, call.target, **call.keywords)
  MINE = Implementation(name="my_kl", framework="torch", package="torch", call=call,
      convention=Convention(target=(Space.PROBABILITY,), model=(Space.LOG,),
          reductions={"none": Reduction.TERMS, "batchmean": Reduction.BATCHMEAN}, default="batchmean"))
and asked by: kl-conformance run my_kernels.py:MINE"""


@cli.command(epilog=EXAMPLE)
@click.argument("implementations", nargs=-1, metavar="[IMPLEMENTATION]...")
@click.option(
    "--framework", "frameworks", multiple=True, callback=several, help="Ask this framework's implementations."
)
@click.option("--device", "devices", multiple=True, callback=several, help="cpu or cuda.")
@click.option("--dtype", "dtypes", multiple=True, callback=several, help="Formats, as in float16,bfloat16.")
@click.option(
    "--mode",
    "modes",
    multiple=True,
    callback=several,
    help="eager (if not said), jit, graph, xla or compile.",
)
@click.option("--profile", default="standard", show_default=True, help=f"One of {', '.join(PROFILES)}.")
@click.option(
    "--seed",
    type=int,
    default=None,
    envvar=SEED,
    show_envvar=True,
    help="Seed of the search; without it a fresh one, which is printed.",
)
@click.option("-k", "keyword", default="", help="Ask only cells whose name matches, as pytest's -k does.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("kl-run.jsonl.gz"),
    show_default=True,
    help="The run file.",
)
def run(
    implementations: tuple[str, ...],
    frameworks: tuple[str, ...],
    devices: tuple[str, ...],
    dtypes: tuple[str, ...],
    modes: tuple[str, ...],
    profile: str,
    seed: int | None,
    keyword: str,
    output: Path,
) -> None:
    """Ask implementations, one worker process per framework, and write a run file.

    IMPLEMENTATION is a known name (see `kl-conformance list implementations`), module:attribute or
    file.py:attribute. Exit codes are pytest's: 0 as recorded, 1 something new is broken, 2 interrupted,
    3 the harness failed, 4 bad usage, 5 nothing to ask.
    """
    from kl_conformance.running import Request
    from kl_conformance.running import run as start

    request = Request(implementations, frameworks, devices, dtypes, modes, profile, seed, keyword, output)
    sys.exit(start(request))


VERIFY = """\b
Examples:
  kl-conformance verify my_pkg.kernels:my_kl --like torch.nn.functional.kl_div
  kl-conformance verify kernels.py:MyLoss --like torch.nn.KLDivLoss --dtype float16,bfloat16 --profile quick
  kl-conformance verify kernels.py:c_kl --like scipy.special.rel_entr --report page.html
  kl-conformance verify kernels.py:my_kl --like torch.nn.functional.kl_div --format junit > kl.xml"""


@cli.command(epilog=VERIFY)
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
    from kl_conformance.running import Request
    from kl_conformance.verifying import verify as start

    dtypes = tuple(filter(None, dtype.split(",")))
    frameworks = (framework,) if framework else ()
    request = Request(
        (kernel,), frameworks, (device,), dtypes, (), profile, seed, "", output, like, strict, "verify", shape
    )
    sys.exit(start(request, page, form))


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("kl-conformance.html"),
    show_default=True,
    help="The page.",
)
@click.option("--markdown", type=click.Path(path_type=Path), help="A summary for a CI job, as well.")
@click.option("--junit", type=click.Path(path_type=Path), help="JUnit XML, as well.")
@click.option("--jsonl", type=click.Path(path_type=Path), help="The runs merged, as JSON Lines, as well.")
@click.option(
    "--badges", type=click.Path(path_type=Path), help="A folder for a badge of each implementation."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "github")),
    default="text",
    show_default=True,
    help="What is printed: a summary, or workflow commands of GitHub.",
)
def report(
    runs: tuple[Path, ...],
    output: Path,
    markdown: Path | None,
    junit: Path | None,
    jsonl: Path | None,
    badges: Path | None,
    form: str,
) -> None:
    """Show one or more run files as one HTML page, with a summary here; exit 1 when something new is broken."""
    from kl_conformance.showing import Beside
    from kl_conformance.showing import report as show

    sys.exit(show(runs, output, Beside(markdown, junit, jsonl, badges), form))


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The merged run file.")
def merge(runs: tuple[Path, ...], output: Path) -> None:
    """Merge run files cell by cell."""
    from kl_conformance.showing import merge as join

    sys.exit(join(runs, output))


@cli.command("list")
@click.argument("what", default="requirements", metavar="requirements|implementations|families|corpus|flags")
def list_(what: str) -> None:
    """List what is known by name."""
    from kl_conformance.telling import tell_list

    sys.exit(tell_list(what))


@cli.command()
@click.argument("requirement")
def explain(requirement: str) -> None:
    """Explain a requirement: what must hold, why, who promises it, who is known to break it."""
    from kl_conformance.telling import tell_requirement

    sys.exit(tell_requirement(requirement))


@cli.command()
@click.argument("implementation", nargs=-1)
def doctor(implementation: tuple[str, ...]) -> None:
    """Say what can be asked here, and measure the arithmetic of IMPLEMENTATION (default: all known ones)."""
    from kl_conformance.doctor import examine
    from kl_conformance.errors import UnknownNameError

    try:
        text, well = examine(implementation)
    except UnknownNameError as error:
        click.echo(str(error), err=True)
        sys.exit(CANNOT)
    click.echo(text)
    sys.exit(0 if well else FINDINGS)


for verb in (compare, replay, bisect, db, expect):
    cli.add_command(verb)


def main() -> None:
    """Run the command line; bad usage is one clear message and the right exit code."""
    try:
        code = _ended()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough: `kl-conformance list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CANNOT
    sys.exit(code)


def _ended() -> int | str | None:
    """Run the verb asked for and return its exit code."""
    try:
        cli(standalone_mode=False)
    except SystemExit as done:
        return done.code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        error.show()
        # pytest's code for bad usage where the verb is `run`
        return 4 if error.ctx is not None and error.ctx.info_name == "run" else CANNOT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return CANNOT
    return 0
