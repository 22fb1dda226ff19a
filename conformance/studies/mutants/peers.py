"""Detection of the mutants by other projects' criteria: PyTorch's samples, Liger-Kernel's test, KernelBench's trials.

Run ``python conformance/studies/mutants/peers.py`` (needs torch); ``--ours FILE`` adds a column for this suite. The
table is written to ``peers.md`` beside this file. Reimplemented from their sources, on the CPU, with their tolerances:

- PyTorch 2.13, ``sample_inputs_kl_div`` and ``OpInfo("nn.functional.kl_div")`` in
  ``torch/testing/_internal/common_methods_invocations.py``: log_softmax and softmax of shapes (2,) and (2, 3), every
  reduction, both kinds of target; ``kldivloss_reference`` in ``common_nn.py`` for the expected value and its
  gradients, compared by ``torch.testing.assert_close`` in float64 and float32, also for non-contiguous samples;
  ``gradcheck`` in float64; the 16-bit dtypes must only run. Left out: batched, forward and second derivatives.
- Liger-Kernel, ``test/transformers/test_kl_div.py`` at ead96b6: two shapes, three dtypes, every reduction, both kinds
  of target (with log_target, too, the target is a softmax), last layer or not; ``torch.allclose`` for the value, and
  except with "none" for the gradient. Their shapes 1·4096 × 32000 and 41·401 × 1271 are reduced to 16 and 201 rows.
- KernelBench, ``KernelBench/level1/98_KLDivLoss.py`` and ``src/kernelbench/eval.py`` at 423217d: five seeds,
  "batchmean" without gradients, same shape, ``torch.allclose`` at 1e-4. Their 16384 × 16384 is reduced to 256 rows.

A fault that appears only with more rows would be detected at full size only; no mutant here is of this kind.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / folder) for folder in ("conformance", "cases", "reports", "reference")
)

from kl_conformance.processes import NoAnswerError
from studies.mutants.catalogue import correct_kernels, kernel_named, mutants
from studies.mutants.kernel import CorrectKernel, KlDiv, Mutant
from studies.mutants.runner import call_in_child
from studies.mutants.torch_parts import identity, torch

TABLE = Path(__file__).with_name("peers.md")
REDUCTIONS = ("none", "mean", "batchmean", "sum")
TIMEOUT = 120.0  # seconds for one kernel
LIGER = {"bfloat16": (1e-8, 5e-2), "float32": (1e-8, 1e-6), "float16": (1e-3, 1e-3)}
"""Absolute and relative tolerance by dtype."""


def opinfo(kernel: KlDiv) -> bool:
    """Whether PyTorch's samples detect a kernel."""
    return _fails(lambda: _opinfo(kernel))


def liger(kernel: KlDiv) -> bool:
    """Whether Liger-Kernel's test detects a kernel."""
    return _fails(lambda: _liger(kernel))


def kernelbench(kernel: KlDiv) -> bool:
    """Whether KernelBench's trials detect a kernel."""
    return _fails(lambda: _kernelbench(kernel))


PEERS: Mapping[str, Callable[[KlDiv], bool]] = {
    "PyTorch's OpInfo": opinfo,
    "Liger-Kernel": liger,
    "KernelBench": kernelbench,
}


def peers(kernel: Mutant | CorrectKernel) -> Mapping[str, bool]:
    """Return which peers detect a kernel; to be called in a child process, because a kernel may change global state.

    Empty for a kernel of another framework than PyTorch, which the peers do not test.
    """
    if not kernel.like.startswith("torch."):
        return {}
    return {name: detects(kernel.make()) for name, detects in PEERS.items()}


def _fails(trial: Callable[[], bool]) -> bool:
    """Whether a trial finds a difference or raises."""
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
        function = _calling(kernel, reduction, log_target)
        given = _sample(shape, dtype, log_target)
        if dtype == "float64":
            torch().autograd.gradcheck(function, [each.clone().requires_grad_(True) for each in given])
        expected = _differentiated(_calling(_reference, reduction, log_target), given)
        for lay in (identity, _apart):
            got = _differentiated(function, [lay(each) for each in given])
            if dtype in {"float64", "float32"}:
                torch().testing.assert_close(got, expected)
    return True


def _differentiated(function: Callable[[Any, Any], Any], given: Sequence[Any]) -> list[Any]:
    """Return an answer and the gradients of its sum by both tensors."""
    leaves = [each.detach().requires_grad_(True) for each in given]
    answer = function(*leaves)
    return [answer, *torch().autograd.grad(answer.sum(), leaves)]


def _calling(kernel: KlDiv, reduction: str, log_target: bool) -> Callable[[Any, Any], Any]:
    return lambda model, target: kernel(model, target, reduction=reduction, log_target=log_target)


def _sample(shape: tuple[int, ...], dtype: str, log_target: bool) -> tuple[Any, Any]:
    given = getattr(torch(), dtype)
    one, other = (torch().testing.make_tensor(shape, dtype=given, device="cpu", low=0.0) for _ in range(2))
    return one.log_softmax(-1), other.log_softmax(-1) if log_target else other.softmax(-1)


def _apart(given: Any) -> Any:
    """Return a copy with stride 2 and NaN between the elements."""
    return torch().stack([given, given * float("nan")], -1)[..., 0]


def _reference(model: Any, target: Any, *, reduction: str, log_target: bool) -> Any:
    """Return the value of PyTorch's kldivloss_reference."""
    terms = target.exp() * (target - model) if log_target else target * (target.log() - model)
    if reduction == "mean":
        return terms.mean()
    if reduction == "sum":
        return terms.sum()
    return terms.sum() / terms.shape[0] if reduction == "batchmean" else terms


def _liger(kernel: KlDiv) -> bool:
    shapes = ((16, 32000), (201, 1271))
    for shape, log_target, reduction, dtype, last in product(shapes, (True, False), REDUCTIONS, LIGER, (True, False)):
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
            expected = torch().nn.functional.kl_div(predictions.log(), targets, reduction="batchmean")
            got = kernel(predictions.log(), targets, reduction="batchmean")
            if expected.shape != got.shape:
                return False
            if not torch().allclose(expected, got, atol=tolerance, rtol=tolerance):
                return False
    return True


def _peers(name: str) -> dict[str, bool]:
    torch().set_num_threads(1)
    return dict(peers(kernel_named(name)))


def tested(kernel: Mutant | CorrectKernel) -> Mapping[str, bool]:
    """Return which peers detect a kernel, in a child process; all of them if the process crashes or times out."""
    try:
        found: Mapping[str, bool] = call_in_child(_peers, kernel.name, timeout=TIMEOUT)
    except NoAnswerError:
        return dict.fromkeys(PEERS, True)
    return found


def _ours(path: Path | None) -> Mapping[str, bool]:
    """Return which kernels the suite detects, from the JSON file of ``study.py -o``."""
    if path is None:
        return {}
    kernels = json.loads(path.read_text(encoding="utf-8"))["kernels"]
    return {each["name"]: bool(each["detected_by"]) for each in kernels}


def table(found: Mapping[str, Mapping[str, bool]], ours: Mapping[str, bool]) -> Iterator[str]:
    """Yield the lines of a Markdown table, mutant × peer, with the shares in the last row."""
    known = mutants()
    names = [*PEERS, "any of them", *(["this suite"] if ours else [])]
    rows = {
        name: [
            *detections.values(),
            any(detections.values()),
            *([ours[name]] if name in ours else [False] * bool(ours)),
        ]
        for name, detections in found.items()
        if name in known
    }
    yield f"| mutant | kind | {' | '.join(names)} |"
    yield f"|{' --- |' * (len(names) + 2)}"
    for name, detections in rows.items():
        marks = " | ".join("detected" if each else "" for each in detections)
        yield f"| {name} | {known[name].kind.value} | {marks} |"
    count = len(rows)
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    shares = " | ".join(f"{total} ({total / count:.0%})" for total in totals)
    yield f"| of {count} | | {shares} |"
    rejected = [name for name, detections in found.items() if name not in known and any(detections.values())]
    yield f"\nCorrect kernels rejected by a peer: {', '.join(rejected) or 'none'}."


def page(found: Mapping[str, Mapping[str, bool]], ours: Mapping[str, bool]) -> str:
    """Return the table with its introduction, as Markdown."""
    about = (__doc__ or "").partition("Reimplemented from their sources,")[2].strip()
    head = [
        "# Mutants detected by the criteria of other projects",
        "",
        "Made by `python conformance/studies/mutants/peers.py`; do not edit. The mutants of the "
        "[kill matrix](mutants.md) that follow `torch.nn.functional.kl_div`, tested with the criteria of other "
        f"projects, reimplemented from their sources, {about}",
        "",
    ]
    return "\n".join([*head, *table(found, ours)]) + "\n"


def main(given: Sequence[str] | None = None) -> int:
    """Print which mutants the peers detect."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="KERNEL", help="test these kernels")
    parser.add_argument("--ours", type=Path, metavar="FILE", help="JSON file of study.py, for a column of this suite")
    parser.add_argument("--found", type=Path, metavar="FILE", help="JSON file of -o, instead of testing again")
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write the results to")
    options = parser.parse_args(given)
    try:
        kernels = [kernel_named(name) for name in options.only]
    except ValueError as error:
        parser.error(str(error))
    every: list[Mutant | CorrectKernel] = kernels or [*mutants().values(), *correct_kernels().values()]
    if options.found:
        found = json.loads(options.found.read_text(encoding="utf-8"))
    else:
        torch()  # imported once, before the children are forked
        found = {each.name: tested(each) for each in every if each.like.startswith("torch.")}
    if options.output:
        options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = page(found, _ours(options.ours))
    print(text)
    if not options.only:
        TABLE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
