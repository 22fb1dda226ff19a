"""A made-up run with every verdict in it: test data, measured nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from kl_reports.result import Column, Header, Result, Run, Verdict

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
    "values/pointwise": ("MUST", "Each unreduced term lies in the tolerance of its own rounding."),
    "values/sum": (
        "MUST",
        "Each reduction lies in its tolerance, for 1 to 131,072 classes and for odd sizes.",
    ),
    "values/exact-sum": ("MUST", "On problems whose every partial sum is exact the sum is exact."),
    "values/near-equal": ("MUST", "For Q near P the term keeps the accuracy class it has elsewhere."),
    "values/extreme": ("MUST", "Subnormal p or q: no spurious 0, ∞, NaN."),
    "values/dtype-range": ("SHOULD", "Inputs near the largest finite value give what the formula gives."),
    "support/zero-target": ("MUST", "p = 0, q > 0 contributes exactly 0."),
    "support/zero-over-zero": ("MUST", "p = 0, q = 0 (a masked class) contributes exactly 0."),
    "support/zero-model": ("MUST", "p > 0, q = 0 gives +∞, unreduced and reduced."),
    "support/nan": ("MUST", "NaN in p or q gives NaN in that term and nowhere else."),
    "support/infinite": ("CONVENTION", "±∞ probabilities."),
    "signs/pointwise": ("MUST", "A term has the sign of the exact term."),
    "signs/self": ("MUST", "KL(P‖P) = 0 within the tolerance of the rounded inputs."),
    "reductions/mean": ("MUST", "“mean” divides by what the Convention says."),
    "reductions/batchmean": ("MUST", "“batchmean” divides by the size of axis 0 of the result."),
    "identities/ce-minus-h": ("MUST", "KL = CE − H, with the framework’s own cross-entropy and entropy."),
    "gradients/model": ("MUST", "∂/∂log q = −p × reduction factor × upstream."),
    "gradients/target-at-zero": ("MUST", "At p = 0 the gradient is the limit or a documented finite value."),
    "errors/shape-mismatch": ("MUST", "Shapes that do not broadcast raise."),
    "errors/misuse": ("CONVENTION", "Probabilities where log-probabilities belong."),
}
BUDGET = (
    "conditioning of log p − log q at these inputs: 6.0 u",
    "summation of 4 terms in any order: 7.7 u",
    "rounding of the answer: 0.5 u",
)
WITNESS: dict[str, Any] = {
    "problem": "p-3f29c1",
    "pair": "pair-77",
    "case": "one-hot-target",
    "formula": "p(log p − log q)",
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
    "call": "kl_div(input=model, target=target, reduction='batchmean')",
    "got": ["f64:7ff8000000000000"],
    "right": ["f64:0000000000000000"],
    "allowed": ["f64:3e80000000000000"],
    "at": None,
    "note": "0 · (log 0 − log 0) was computed as it stands.",
    "reproducer": "import torch\nprint(torch.zeros(1))",
    "link": "https://example.org/issues/1",
}


def columns(devices: Iterable[str] = ("cpu",)) -> dict[str, Column]:
    """Return a column for every implementation, device and dtype."""
    made = [
        Column(name, framework, version, device, dtype, "eager")
        for device in devices
        for name, (framework, version, dtypes) in IMPLEMENTATIONS.items()
        for dtype in dtypes
    ]
    return {column.key: column for column in made}


def header(devices: Iterable[str] = ("cpu",)) -> Header:
    """Return a header that plans every requirement on every column."""
    asked = columns(devices)
    return Header(
        started="2026-01-02T03:04:05+00:00",
        suite="0.1.0",
        profile="quick",
        seed=7,
        environment={"python": "3.11.7", "platform": "test data", "torch": "2.13.0"},
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
                "formula": "p(log p − log q)",
                "argument order": "model, target",
                "reductions": "none, sum, mean over every element",
            }
            for name, (framework, _, _) in IMPLEMENTATIONS.items()
        },
        columns=asked,
        planned=tuple(f"{name}@{key}" for name in REQUIREMENTS for key in asked),
    )


def result(requirement: str, column: Column, position: int) -> Result:
    """Return one made-up judgement: mostly held, here and there every other verdict."""
    cell = Result(
        requirement,
        1,
        column.key,
        Verdict.PASS,
        headroom=(position * 37 % 97) / 100,
        budget=BUDGET,
        problems=40 + position % 7,
        seconds=0.25,
    )
    match requirement, column.framework:
        case _ if column.device == "cuda":
            return replace(
                cell, verdict=Verdict.MISSING, headroom=None, detail="no CUDA device on this machine"
            )
        case ("support/zero-over-zero", "jax" | "torch") if (
            "log" in column.implementation or column.dtype == "float16"
        ):
            return replace(
                cell, verdict=Verdict.FAIL, headroom=float("inf"), detail="gives NaN", witness=WITNESS
            )
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
            return replace(
                cell, verdict=Verdict.FAIL, headroom=3.14, detail="stagnates at 256", witness=WITNESS
            )
        case ("gradients/model" | "gradients/target-at-zero", "scipy"):
            return replace(cell, verdict=Verdict.UNSUPPORTED, headroom=None, detail="offers no gradients")
        case _:
            return cell


SPECIAL = (Verdict.FIXED, Verdict.UNDECIDED, Verdict.NONDETERMINISTIC, Verdict.CRASHED, Verdict.TIMED_OUT)


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A factory of made-up runs with every verdict."""

    def make(devices: Iterable[str] = ("cpu", "cuda"), *, calm: bool = False) -> Run:
        head = header(devices)
        results = [
            result(cell.partition("@")[0], head.columns[cell.partition("@")[2]], position)
            for position, cell in enumerate(head.planned)
        ]
        if calm:
            results = [replace(cell, verdict=Verdict.PASS, headroom=0.5, witness=None) for cell in results]
        else:
            for position, verdict in enumerate(SPECIAL):
                place = 5 + 12 * position
                results[place] = replace(results[place], verdict=verdict, headroom=None, detail=verdict.value)
        return Run(head, tuple(results), "2026-01-02T03:09:05+00:00")

    return make


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    """A made-up run with every verdict."""
    return make_run()


HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</script></style><!--",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x00\x07\r\n\ttab",
    "🦄👩‍👩‍👧 e\u0301",
    "\u202egnp.exe\u2066",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "a b/c@d#e?f%20&amp;",
    "javascript:alert(1)",
    "\ud800",
    "x" * 10_000,
)


@pytest.fixture
def hostile_run() -> Run:
    """A run in which every text that can be chosen freely was chosen by an enemy."""
    asked = {
        text + str(position): Column(text, text, text, text, text, text)
        for position, text in enumerate(HOSTILE)
    }
    witness: dict[str, Any] = dict(zip(WITNESS, (*HOSTILE, *HOSTILE), strict=False))
    witness["got"] = [*HOSTILE]
    witness["target"] = {"space": HOSTILE[0], "shape": [HOSTILE[1]], "bits": [*HOSTILE]}
    head = Header(
        started=HOSTILE[0],
        suite=HOSTILE[1],
        profile=HOSTILE[2],
        seed=7,
        environment={text: text for text in HOSTILE},
        requirements={
            text: {"level": text, "sentence": text, "formula": text, "link": text} for text in HOSTILE
        },
        implementations={text: {"framework": text, "documentation": text, text: text} for text in HOSTILE},
        columns=asked,
        planned=tuple(f"{text}@{key}" for text in HOSTILE for key in asked),
    )
    verdicts = list(Verdict)
    results = tuple(
        Result(
            requirement=text,
            revision=1,
            column=key,
            verdict=verdicts[(row + place) % len(verdicts)],
            detail=HOSTILE[place],
            headroom=(None, 0.5, float("nan"), float("inf"), 3.0, -1.0)[place % 6],
            budget=HOSTILE,
            witness=witness,
            deviation=HOSTILE[row],
        )
        for row, text in enumerate(HOSTILE)
        for place, key in enumerate(asked)
    )
    return Run(head, results, None, HOSTILE)
