"""`run`: evaluates a selection and writes the run file."""

from typing import Any

import click

from kl_conformance.cli.options import names, output, profile, seed
from kl_conformance.runs.execution import RunOptions, execute

EXAMPLE = """\b
A user kernel is declared in Python, with what it computes:
  from kl_conformance import Convention, Implementation, Reduction, Space
  def call(modules, call):  # modules.torch is torch; call.target and call.model are tensors
      return my_kl(call.model, call.target, **call.keywords)
  MINE = Implementation(name="my_kl", framework="torch", package="torch", call=call,
      convention=Convention(target=(Space.PROBABILITY,), model=(Space.LOG,),
          reductions={"none": Reduction.TERMS, "batchmean": Reduction.BATCHMEAN}, default="batchmean"))
It is tested by: kl-conformance run my_kernels.py:MINE"""


@click.command(epilog=EXAMPLE)
@click.argument("implementations", nargs=-1, metavar="[IMPLEMENTATION]...")
@names("--framework", "frameworks", "Test the implementations of this framework.")
@names("--device", "devices", "cpu or cuda.")
@names("--dtype", "dtypes", "Dtypes, as in float16,bfloat16.")
@names("--mode", "modes", "Execution modes: eager (default), jit, x32, graph, xla or compile.")
@profile
@seed
@click.option("-k", "keyword", default="", help="Run only the cells whose name matches, as in pytest.")
@output("kl-run.jsonl.gz", "The run file.")
def run(**options: Any) -> int:
    """Evaluate implementations in worker processes and write a run file.

    IMPLEMENTATION is a built-in one (see `kl-conformance list implementations`), MODULE:NAME or FILE.py:NAME.
    Without one, all built-in implementations of the installed frameworks are tested, each framework in a process
    of its own. Exit codes are pytest's: 0 as recorded, 1 new failures, 2 interrupted, 3 the suite itself failed,
    4 bad usage, 5 nothing to test.
    """
    return execute(RunOptions(**options))
