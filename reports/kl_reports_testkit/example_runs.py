"""Example runs with every verdict: test data, not measurements."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.distribution import ErrorDistribution
from kl_reports.runfile.records import Absence, Column, Fixed, Header, Result, Run, Verdict

DTYPES = ("float64", "float32", "float16", "bfloat16")
IMPLEMENTATIONS = {
    "torch.nn.functional.kl_div": ("torch", "2.13.0", DTYPES),
    "torch.nn.KLDivLoss": ("torch", "2.13.0", DTYPES),
    "torch.distributions.kl_divergence": ("torch", "2.13.0", DTYPES[:2]),
    "keras.losses.KLDivergence": ("tensorflow", "2.20.0", DTYPES),
    "keras.losses.kl_divergence": ("tensorflow", "2.20.0", DTYPES),
    "tf.nn.softmax_cross_entropy_with_logits": ("tensorflow", "2.20.0", DTYPES),
    "jax.scipy.special.rel_entr": ("jax", "0.10.2", DTYPES),
    "jax.scipy.special.kl_div": ("jax", "0.10.2", DTYPES),
    "optax.losses.kl_divergence": ("jax", "0.10.2", DTYPES),
    "optax.losses.kl_divergence_with_log_targets": ("jax", "0.10.2", DTYPES),
    "scipy.special.rel_entr": ("scipy", "1.17.1", DTYPES[:2]),
    "scipy.special.kl_div": ("scipy", "1.17.1", DTYPES[:2]),
    "scipy.stats.entropy": ("scipy", "1.17.1", DTYPES[:2]),
}
REQUIREMENTS = {
    "values/pointwise": ("MUST", "Each unreduced term is within the tolerance of its own rounding."),
    "values/sum": ("MUST", "Each reduction is within its tolerance, for 1 to 131,072 classes and for odd sizes."),
    "values/exact-sum": ("MUST", "On problems whose every partial sum is exact, the sum is exact."),
    "values/near-equal": ("MUST", "For Q near P the term has the same accuracy class as elsewhere."),
    "values/extreme": ("MUST", "Subnormal p or q: no spurious 0, ∞, NaN."),
    "values/dtype-range": ("SHOULD", "Inputs near the largest finite value return the value of the formula."),
    "support/zero-target": ("MUST", "p = 0, q > 0 contributes exactly 0."),
    "support/zero-over-zero": ("MUST", "p = 0, q = 0 (a masked class) contributes exactly 0."),
    "support/zero-model": ("MUST", "p > 0, q = 0 returns +∞, unreduced and reduced."),
    "support/nan": ("MUST", "NaN in p or q returns NaN in that term and nowhere else."),
    "support/infinite": ("CONVENTION", "±∞ probabilities."),
    "signs/pointwise": ("MUST", "A term has the sign of the exact term."),
    "signs/self": ("MUST", "KL(P‖P) = 0 within the tolerance of the rounded inputs."),
    "reductions/mean": ("MUST", "“mean” divides by the divisor that the convention declares."),
    "reductions/batchmean": ("MUST", "“batchmean” divides by the size of axis 0 of the result."),
    "identities/ce-minus-h": ("MUST", "KL = CE − H, with the framework’s own cross-entropy and entropy."),
    "gradients/model": ("MUST", "∂/∂log q = −p × reduction factor × upstream."),
    "gradients/target-at-zero": ("MUST", "At p = 0 the gradient is the limit or a documented finite value."),
    "errors/shape-mismatch": ("MUST", "Shapes that do not broadcast raise."),
    "errors/misuse": ("CONVENTION", "Probabilities where log-probabilities are expected."),
}
SPREAD = ErrorDistribution({-4: 2, -1: 9, 0: 20, 1: 7, 6: 2}, {2: 120, 17: 310, 1025: 960}, {0: 310, 5: 960, 12: 40})
UNIT = "2.98e-08 = u·S, with u of float32 and S the condition of the answer"
BUDGET = (
    BudgetItem(6.0, "conditioning", "log and exp to 4 u, and two more roundings", UNIT),
    BudgetItem(7.7, "summation", "4 terms summed in float32, h = 3", UNIT),
    BudgetItem(0.5, "output rounding", "the result is rounded once", UNIT),
)
WITNESS: dict[str, Any] = {
    "problem": "p-3f29c1",
    "pair": "pair-77",
    "case": "one-hot-target",
    "formula": "p·(log p − log q)",
    "reduction": "batchmean",
    "dtype": "float32",
    "target": {
        "space": "probability",
        "shape": [1, 4],
        "bits": ["f32:3f000000", "f32:3e800000", "f32:3e800000", "f32:00000000"],
    },
    "model": {
        "space": "log-probability",
        "shape": [1, 4],
        "bits": ["f32:bf317218", "f32:bfb17218", "f32:bfb17218", "f32:ff800000"],
    },
    "call": {
        "function": "kl_div",
        "keywords": {"reduction": "'batchmean'"},
        "side": None,
        "text": "kl_div(input=model, target=target, reduction='batchmean')",
    },
    "got": ["f64:7ff8000000000000"],
    "right": ["f64:0000000000000000"],
    "allowed": ["f64:3e80000000000000"],
    "at": None,
    "note": "0 · (log 0 − log 0) was computed as written.",
    "reproducer": "import torch\nprint(torch.zeros(1))",
    "link": "https://example.org/issues/1",
    "layout": {"target": "contiguous", "model": "contiguous"},
    "upstream": None,
}


def columns(devices: Iterable[str] = ("cpu",)) -> dict[str, Column]:
    """Return a column for every implementation, device and dtype."""
    found = [
        Column(name, framework, version, device, dtype, "eager")
        for device in devices
        for name, (framework, version, dtypes) in IMPLEMENTATIONS.items()
        for dtype in dtypes
    ]
    return {column.key: column for column in found}


def header(devices: Iterable[str] = ("cpu",)) -> Header:
    """Return a header that plans every requirement on every column."""
    planned = columns(devices)
    return Header(
        started="2026-01-02T03:04:05+00:00",
        suite="0.1.0",
        profile="quick",
        seed=7,
        environment={"": {"python": "3.11.7", "platform": "test data", "torch": "2.13.0"}},
        requirements={
            name: {
                "level": level,
                "sentence": sentence,
                "formula": "Σ p·(log p − log q)",
                "reason": "Test data.",
                "link": "https://example.org/doc",
                "revision": 1,
            }
            for name, (level, sentence) in REQUIREMENTS.items()
        },
        implementations={
            name: {
                "framework": framework,
                "documentation": f"https://example.org/{name}",
                "formula": "p·(log p − log q)",
                "argument order": "model, target",
                "reductions": "none, sum, mean over every element",
            }
            for name, (framework, _, _) in IMPLEMENTATIONS.items()
        },
        columns=planned,
        planned=tuple(f"{name}@{key}" for name in REQUIREMENTS for key in planned),
    )


def result(requirement: str, column: Column, position: int) -> Result:
    """Return the example result of a cell: mostly PASS, with other verdicts at fixed places."""
    cell = Result(
        requirement,
        1,
        column.key,
        Verdict.PASS,
        headroom=(position * 37 % 97) / 100,
        budget=BUDGET,
        problems=40 + position % 7,
        spread=SPREAD,
        fixed=Fixed(38 + position % 7, (position * 37 % 97) / 100, f"{position:016x}"),
        seconds=0.25,
    )
    match requirement, column.framework:
        case _ if column.device == "cuda":
            detail = "no CUDA device on this machine"
            return replace(cell, verdict=Verdict.MISSING, headroom=None, detail=detail, absence=Absence.NO_DEVICE)
        case ("support/zero-over-zero", "jax" | "torch") if "log" in column.implementation or column.dtype == "float16":
            return replace(cell, verdict=Verdict.FAIL, headroom=float("inf"), detail="returned NaN", witness=WITNESS)
        case ("values/near-equal", "tensorflow"):
            return replace(
                cell,
                verdict=Verdict.EXPECTED,
                headroom=41234.5,
                detail="clips probabilities at 1e-7",
                witness=WITNESS,
                deviation="keras-clips-probabilities",
            )
        case ("values/exact-sum", "tensorflow") if column.dtype == "bfloat16":
            return replace(cell, verdict=Verdict.FAIL, headroom=3.14, detail="stagnates at 256", witness=WITNESS)
        case ("gradients/model" | "gradients/target-at-zero", "scipy"):
            return replace(cell, verdict=Verdict.UNSUPPORTED, headroom=None, detail="has no gradients")
        case _:
            return cell


SPECIAL = (Verdict.FIXED, Verdict.UNDECIDED, Verdict.NONDETERMINISTIC, Verdict.CRASHED, Verdict.TIMED_OUT)


def example_run(devices: Iterable[str] = ("cpu", "cuda"), *, calm: bool = False) -> Run:
    """Return a run with every verdict, or, if ``calm``, one in which every cell passes."""
    head = header(devices)
    results = [
        result(cell.requirement, head.columns[cell.column], position)
        for position, cell in enumerate(map(CellId.parse, head.planned))
    ]
    if calm:
        results = [replace(cell, verdict=Verdict.PASS, headroom=0.5, witness=None) for cell in results]
    else:
        for position, verdict in enumerate(SPECIAL):
            place = 5 + 12 * position
            results[place] = replace(results[place], verdict=verdict, headroom=None, detail=verdict.value, absence=None)
    return Run(head, tuple(results), "2026-01-02T03:09:05+00:00")


def large_run(implementations: int = 78, requirements: int = 64) -> Run:
    """Return a run of many implementations, each in four dtypes: by default 19,968 cells, one in twenty failed."""
    run = example_run(("cpu",))
    failed = next(cell for cell in run.results if cell.verdict is Verdict.FAIL)
    planned_columns = {
        column.key: column
        for number in range(implementations)
        for dtype in DTYPES
        for column in [Column(f"some.kl_{number % 13}", "torch", f"2.{number // 13}", "cpu", dtype, "eager")]
    }
    required = {
        f"chapter-{number // 8}/requirement-{number}": {
            "level": "MUST",
            "sentence": "Each unreduced term is within the tolerance of its own rounding, over the whole normal range.",
            "formula": "|got − p·(log p − log q)| ≤ k·u·p·(|log p| + |log q|)",
            "reason": "A fault such as log(p + 1e-10) vanishes in any sum over a vocabulary, and shows in a term.",
        }
        for number in range(requirements)
    }
    planned = tuple(f"{name}@{key}" for name in required for key in planned_columns)
    results: list[Result] = []
    for place, cell in enumerate(planned):
        name = CellId.parse(cell)
        verdict = {7: Verdict.FAIL, 17: Verdict.UNSUPPORTED}.get(place % 20, Verdict.PASS)
        measured = verdict is not Verdict.UNSUPPORTED
        results.append(
            replace(
                failed,
                requirement=name.requirement,
                column=name.column,
                verdict=verdict,
                headroom=(place * 37 % 101) / 101 if measured else None,
                witness=failed.witness if verdict is Verdict.FAIL else None,
                spread=SPREAD if measured else None,
            )
        )
    names = list(required)
    guide = {
        "questions": [
            {
                "question": f"Why is a term negative, number {number}?",
                "answer": "Because a term p·log(p/q) is negative wherever p < q. " * 4,
                "property": "formula",
                "requirements": names[5 * number : 5 * number + 5],
            }
            for number in range(5)
        ],
        "evidence": {f"property {number}": names[2 * number : 2 * number + 3] for number in range(10)},
    }
    implementations_described = {
        f"some.kl_{number}": {"framework": "torch", "formula": "p·(log p − log q)"} for number in range(13)
    }
    head = replace(
        run.header,
        columns=planned_columns,
        requirements=required,
        planned=planned,
        implementations=implementations_described,
        guide=guide,
    )
    return replace(run, header=head, results=tuple(results))
