"""A wrong number is explained by the other problem to which it is the correct answer."""

import numpy as np
import pytest

from kl_cases.pair import Pair
from kl_conformance.diagnosis.alternatives import diagnose
from kl_conformance.judging import judge
from kl_conformance.requirements.miniature import Array, Miniature, generalised, log_term, reduce, term
from kl_conformance_testkit.subjects import evaluate, pair, subject
from kl_reference.convention import Reduction, Space
from kl_reports.runfile.records import Kind

ROWS = pair([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]])


def diagnosed(miniature: Miniature, reduction: Reduction = Reduction.TERMS, inputs: Pair = ROWS) -> str:
    """Return the diagnosis of a miniature's result, which must be wrong."""
    column = subject(miniature)
    judgement = judge.within_tolerance(column.evaluate(column.problem(inputs, reduction)))
    assert judgement.is_failure
    return diagnose(judgement, inputs, column)


def swapped(p: Array, log_q: Array) -> Array:
    """Return q·(log q − log p): the arguments swapped."""
    return term(np.exp(log_q), np.log(p))


def clipped(p: Array, q: Array) -> Array:
    """Return the term of probabilities clipped as Keras clips them."""
    return term(np.maximum(p, 1e-7), np.log(np.maximum(q, 1e-7)))


def by_elements(terms: Array, how: Reduction) -> Array:
    """Reduce with "mean" in place of "batchmean"."""
    return reduce(terms, Reduction.MEAN if how is Reduction.BATCHMEAN else how)


def by_batch(terms: Array, how: Reduction) -> Array:
    """Reduce with "batchmean" in place of "mean"."""
    return reduce(terms, Reduction.BATCHMEAN if how is Reduction.MEAN else how)


@pytest.mark.parametrize(
    ("miniature", "reduction", "description"),
    [
        (Miniature(term=swapped), Reduction.TERMS, "KL(Q‖P), with the arguments swapped"),
        (Miniature(term=swapped), Reduction.SUM, "KL(Q‖P), with the arguments swapped"),
        (
            Miniature(reduce=by_elements),
            Reduction.BATCHMEAN,
            "the sum divided by the number of elements, not the sum divided by the size of axis 0",
        ),
        (
            Miniature(reduce=by_batch),
            Reduction.MEAN,
            "the sum divided by the size of axis 0, not the sum divided by the number of elements",
        ),
        (Miniature(term=lambda p, lq: generalised(p, np.exp(lq))), Reduction.TERMS, "the formula p·log(p/q) − p + q"),
        (Miniature(term=lambda p, lq: -p * lq), Reduction.TERMS, "the formula −p·log q"),
    ],
    ids=range(6),
)
def test_a_common_mistake_is_named(miniature: Miniature, reduction: Reduction, description: str) -> None:
    """Swapped arguments, another mean and another formula are recognised by the numbers they return."""
    assert description in diagnosed(miniature, reduction)


def test_clipping_is_named() -> None:
    """Probabilities clipped to 1e-7 are recognised where clipping matters."""
    inputs = pair([0.5, 0.5], [1e-30, 1.0])
    wrong = Miniature(term=clipped, model=(Space.PROBABILITY,))
    assert "probabilities clipped to at least 1e-07" in diagnosed(wrong, Reduction.SUM, inputs)


def test_a_logarithm_used_as_a_probability_is_named() -> None:
    """Log p used as p: p·(log p − log q) with the logarithm of a logarithm is recognised by its numbers."""
    wrong = Miniature(target=(Space.LOG,), log_term=lambda lp, lq: term(lp, lq))
    inputs = pair([0.5, np.e, 2.0], [-1.0, -2.0, -0.5], Space.LOG)  # a measure: its log p may be positive
    assert "log p used as p" in diagnosed(wrong, inputs=Pair(inputs.p, inputs.q))


def test_an_unknown_mistake_is_not_explained() -> None:
    """A number that is the correct answer to none of the alternatives has no explanation."""
    assert diagnosed(Miniature(after=lambda answer: answer * 1.01)) == ""
    assert diagnosed(Miniature(after=lambda answer: answer + np.nan), Reduction.SUM) == ""
    assert diagnosed(Miniature(log_term=log_term, after=lambda answer: answer * -1.0)) == ""


def test_an_identity_is_not_explained() -> None:
    """A difference of two results is explained by the alternatives of neither."""
    column = subject(Miniature(reduce=by_elements))
    batch, mean = (column.evaluate(column.problem(ROWS, x)) for x in (Reduction.BATCHMEAN, Reduction.MEAN))
    judgement = judge.identity(
        (judge.WeightedAnswer(3.0, mean), judge.WeightedAnswer(-1.0, batch)), "mean × 3 is batchmean"
    )
    assert judgement.is_failure
    assert diagnose(judgement, ROWS, column) == ""


def test_a_diagnosis_reaches_the_verdict() -> None:
    """The result of a kernel with swapped arguments says that they are swapped."""
    result = evaluate("values/pointwise", subject(Miniature(term=swapped, target=(Space.PROBABILITY,))))
    assert result.explanation == "KL(Q‖P), with the arguments swapped"
    assert result.detail.endswith(f" This is the correct answer to another problem: {result.explanation}.")
    assert result.kind is Kind.NUMBER
