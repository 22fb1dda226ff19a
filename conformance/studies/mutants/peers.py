"""What the criteria of others stop: PyTorch's own samples, Liger-Kernel's test and KernelBench's trials, written anew.

Run ``python conformance/studies/mutants/peers.py`` (needs torch); ``--ours FILE`` puts the matrix beside it, and the
table is kept in ``peers.md`` beside this file. Read from their sources, on the CPU, in their tolerances:

- PyTorch 2.13, ``sample_inputs_kl_div`` and ``OpInfo("nn.functional.kl_div")`` in
  ``torch/testing/_internal/common_methods_invocations.py``: log_softmax and softmax of shapes (2,) and (2, 3), every
  reduction, both kinds of target; ``kldivloss_reference`` in ``common_nn.py`` for the right value and its gradients,
  against which float64 and float32 are held by ``torch.testing.assert_close``, also where samples are not contiguous;
  ``gradcheck`` in float64; the 16-bit dtypes need only run. Left out: batched, forward and second derivatives.
- Liger-Kernel, ``test/transformers/test_kl_div.py`` at ead96b6: two shapes, three dtypes, every reduction, both kinds
  of target (with log_target, too, the target is a softmax), last layer or not; ``torch.allclose`` for the value, and
  but for "none" for the gradient. Their 1·4096 × 32000 and 41·401 × 1271 lose rows here: 16 and 201 are left.
- KernelBench, ``KernelBench/level1/98_KLDivLoss.py`` and ``src/kernelbench/eval.py`` at 423217d: five seeds,
  "batchmean" without gradients, same shape, ``torch.allclose`` at 1e-4. Their 16384 × 16384 loses rows: 256 are left.

Where a count of rows decides, they would see more at full size; no fault here begins between the two.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / house)
    for house in ("conformance", "cases", "reports", "reference")
)

from studies.mutants import catalogue as mutants
from studies.mutants.kernel import KlDiv, Right, Wrong
from studies.mutants.torch_parts import same, torch

TABLE = Path(__file__).with_name("peers.md")
REDUCTIONS = ("none", "mean", "batchmean", "sum")
PATIENCE = 120.0  # seconds after which a kernel that has not answered hangs
LIGER = {"bfloat16": (1e-8, 5e-2), "float32": (1e-8, 1e-6), "float16": (1e-3, 1e-3)}
"""Absolute and relative tolerance by dtype."""


def opinfo(kernel: KlDiv) -> bool:
    """Whether PyTorch's samples stop a kernel."""
    return _fails(lambda: _opinfo(kernel))


def liger(kernel: KlDiv) -> bool:
    """Whether Liger-Kernel's test stops a kernel."""
    return _fails(lambda: _liger(kernel))


def kernelbench(kernel: KlDiv) -> bool:
    """Whether KernelBench's trials stop a kernel."""
    return _fails(lambda: _kernelbench(kernel))


PEERS: Mapping[str, Callable[[KlDiv], bool]] = {
    "PyTorch's OpInfo": opinfo,
    "Liger-Kernel": liger,
    "KernelBench": kernelbench,
}


def peers(kernel: Wrong | Right) -> Mapping[str, bool]:
    """Return which peers stop a kernel; call it in a process of its own, which a kernel may change.

    Empty for a kernel that takes other arrays than PyTorch's: they ask nothing else.
    """
    if not kernel.like.startswith("torch."):
        return {}
    return {name: stops(kernel.make()) for name, stops in PEERS.items()}


def _fails(trial: Callable[[], bool]) -> bool:
    """Whether a trial finds a difference, or an exception ends it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return not trial()
        except Exception:
            return True


def _opinfo(kernel: KlDiv) -> bool:
    torch().manual_seed(0)
    dtypes = ("float64", "float32", "float16", "bfloat16")
    for dtype, shape, reduction, log_target in product(dtypes, ((2,), (2, 3)), REDUCTIONS, (True, False)):
        function = _asking(kernel, reduction, log_target)
        given = _sample(shape, dtype, log_target)
        if dtype == "float64":
            torch().autograd.gradcheck(function, [each.clone().requires_grad_(True) for each in given])
        due = _differentiated(_asking(_reference, reduction, log_target), given)
        for lay in (same, _apart):
            got = _differentiated(function, [lay(each) for each in given])
            if dtype in {"float64", "float32"}:
                torch().testing.assert_close(got, due)
    return True


def _differentiated(function: Callable[[Any, Any], Any], given: Sequence[Any]) -> list[Any]:
    """Return an answer and the gradients of its sum by both tensors."""
    leaves = [each.detach().requires_grad_(True) for each in given]
    answer = function(*leaves)
    return [answer, *torch().autograd.grad(answer.sum(), leaves)]


def _asking(kernel: KlDiv, reduction: str, log_target: bool) -> Callable[[Any, Any], Any]:
    return lambda model, target: kernel(model, target, reduction=reduction, log_target=log_target)


def _sample(shape: tuple[int, ...], dtype: str, log_target: bool) -> tuple[Any, Any]:
    given = getattr(torch(), dtype)
    one, other = (torch().testing.make_tensor(shape, dtype=given, device="cpu", low=0.0) for _ in range(2))
    return one.log_softmax(-1), other.log_softmax(-1) if log_target else other.softmax(-1)


def _apart(given: Any) -> Any:
    """Lay NaN after each element."""
    return torch().stack([given, given * float("nan")], -1)[..., 0]


def _reference(model: Any, target: Any, *, reduction: str, log_target: bool) -> Any:
    """Return what PyTorch's kldivloss_reference gives."""
    terms = target.exp() * (target - model) if log_target else target * (target.log() - model)
    if reduction == "mean":
        return terms.mean()
    if reduction == "sum":
        return terms.sum()
    return terms.sum() / terms.shape[0] if reduction == "batchmean" else terms


def _liger(kernel: KlDiv) -> bool:
    shapes = ((16, 32000), (201, 1271))
    for shape, log_target, reduction, dtype, last in product(
        shapes, (True, False), REDUCTIONS, LIGER, (True, False)
    ):
        torch().manual_seed(0)
        atol, rtol = LIGER[dtype]
        model = torch().randn(*shape, dtype=getattr(torch(), dtype)).log_softmax(-1)
        target = torch().randn(*shape).softmax(-1)
        leaves = [model.clone().requires_grad_(True) for _ in range(2)]
        functions = (torch().nn.functional.kl_div, kernel)
        answers = [
            function(leaf, target, reduction=reduction, log_target=log_target)
            for function, leaf in zip(functions, leaves, strict=True)
        ]
        if not torch().allclose(*answers, atol=atol, rtol=rtol):
            return False
        if reduction == "none":
            continue
        for answer in answers:
            (answer if last else answer * 2.0).backward()
        if not torch().allclose(*(leaf.grad for leaf in leaves), atol=atol, rtol=rtol):
            return False
    return True


def _kernelbench(kernel: KlDiv) -> bool:
    torch().manual_seed(42)
    seeds = [int(torch().randint(0, 2**32 - 1, (1,))) for _ in range(5)]
    shape, tolerance = (256, 16384), 1e-4
    with torch().no_grad():
        for seed in seeds:
            torch().manual_seed(seed)
            scale = torch().rand(())
            predictions = (torch().rand(*shape) * scale).softmax(-1)
            targets = torch().rand(*shape).softmax(-1)
            right = torch().nn.functional.kl_div(predictions.log(), targets, reduction="batchmean")
            got = kernel(predictions.log(), targets, reduction="batchmean")
            if right.shape != got.shape:
                return False
            if not torch().allclose(right, got, atol=tolerance, rtol=tolerance):
                return False
    return True


def _testify(name: str, sender: Connection[Any, Any]) -> None:
    torch().set_num_threads(1)
    sender.send(dict(peers(mutants.kernel(name))))


def tried(kernel: Wrong | Right) -> Mapping[str, bool]:
    """Return which peers stop a kernel, asked in a process of its own; one that dies or hangs is stopped by all."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_testify, args=(kernel.name, sender))
    process.start()
    sender.close()
    try:
        if receiver.poll(PATIENCE):
            found: Mapping[str, bool] = receiver.recv()
            return found
    except EOFError:
        pass
    finally:
        process.kill()
        process.join()
    return dict.fromkeys(PEERS, True)


def _ours(path: Path | None) -> Mapping[str, bool]:
    """Return what the suite stops, by kernel, from the JSON that ``matrix.py -o`` writes."""
    if path is None:
        return {}
    kernels = json.loads(path.read_text(encoding="utf-8"))["kernels"]
    return {each["name"]: bool(each["stops"]) for each in kernels}


def table(found: Mapping[str, Mapping[str, bool]], ours: Mapping[str, bool]) -> Iterator[str]:
    """Yield the lines of a Markdown table, fault × peer, and the shares below."""
    wrong = mutants.wrong()
    names = [*PEERS, "one of them", *(["this suite"] if ours else [])]
    rows = {
        name: [
            *stops.values(),
            any(stops.values()),
            *([ours[name]] if name in ours else [False] * bool(ours)),
        ]
        for name, stops in found.items()
        if name in wrong
    }
    yield f"| fault | kind | {' | '.join(names)} |"
    yield f"|{' --- |' * (len(names) + 2)}"
    for name, stops in rows.items():
        marks = " | ".join("stopped" if each else "" for each in stops)
        yield f"| {name} | {wrong[name].kind.value} | {marks} |"
    count = len(rows)
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    shares = " | ".join(f"{total} ({total / count:.0%})" for total in totals)
    yield f"| of {count} | | {shares} |"
    accused = [name for name, stops in found.items() if name not in wrong and any(stops.values())]
    yield f"\nRight kernels accused by a peer: {', '.join(accused) or 'none'}."


def page(found: Mapping[str, Mapping[str, bool]], ours: Mapping[str, bool]) -> str:
    """Return the table with what it is about, as Markdown."""
    about = (__doc__ or "").partition("Read from their sources,")[2].strip()
    head = [
        "# What the criteria of others stop",
        "",
        "Made by `python conformance/studies/mutants/peers.py`; do not edit. The wrong kernels of the "
        "[kill matrix](mutants.md) that follow `torch.nn.functional.kl_div`, under the criteria of others, "
        f"written anew from their sources, {about}",
        "",
    ]
    return "\n".join([*head, *table(found, ours)]) + "\n"


def main(given: Sequence[str] | None = None) -> int:
    """Print what the peers stop."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="KERNEL", help="try these")
    parser.add_argument("--ours", type=Path, metavar="FILE", help="the JSON of matrix.py, to be shown beside")
    parser.add_argument("--found", type=Path, metavar="FILE", help="what -o wrote, in place of trying again")
    parser.add_argument("-o", "--output", type=Path, help="where to write what was found as JSON")
    asked = parser.parse_args(given)
    try:
        kernels = [mutants.kernel(name) for name in asked.only]
    except ValueError as error:
        parser.error(str(error))
    everybody: list[Wrong | Right] = kernels or [*mutants.wrong().values(), *mutants.right().values()]
    if asked.found:
        found = json.loads(asked.found.read_text(encoding="utf-8"))
    else:
        torch()  # imported once, for every process that is forked
        found = {each.name: tried(each) for each in everybody if each.like.startswith("torch.")}
    if asked.output:
        asked.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = page(found, _ours(asked.ours))
    print(text)
    if not asked.only:
        TABLE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
