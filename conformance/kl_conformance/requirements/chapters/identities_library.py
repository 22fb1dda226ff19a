"""Identities: against the library's own cross-entropy, entropy and relative entropy."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.frameworks.call import Call
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judge import WeightedAnswer
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import CROSS_ENTROPY, KL_DIV_LOSS
from kl_conformance.requirements.miniature import Miniature, log_term, reduce, term
from kl_conformance.requirements.requirement import Applies, Requirement
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.problem import Problem


def companion(subject: Subject, pair: Pair, name: str) -> Evaluation:
    """Evaluate the framework's own ``cross_entropy`` or ``entropy`` by rows, or ``relative_entropy`` by classes."""
    space = Space.LOGITS if name == "cross_entropy" else Space.PROBABILITY
    p, q = pair.realise(Space.PROBABILITY, space, subject.dtype)
    if name == "entropy":
        # H(P) = −Σ p·log p is the cross-entropy of P with itself, without a second argument to round.
        q = p
    problem = Problem(p, q, formula=Formula.CROSS_ENTROPY, reduction=Reduction.ROWS, axis=pair.axis)
    if name == "relative_entropy":
        problem = replace(problem, formula=Formula.PLAIN, reduction=Reduction.TERMS)
    framework, modules = subject.framework, subject.modules
    target, model = (framework.tensor(modules, each, subject.column.device, "contiguous") for each in (p, q))
    call = Call(target, model, Space.PROBABILITY, space, None, None, subject.dtype)
    got = framework.output(modules, getattr(framework, name)(modules, call))
    return subject.judged(problem, got, CallDescription(f"{framework.name}'s own {name.replace('_', '-')}"))


def ce_minus_h(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare KL with the framework's cross-entropy minus its entropy."""
    if len(pair.shape) != 2 or pair.p.values.shape != pair.q.values.shape:
        return
    sides = (
        WeightedAnswer(-1.0, companion(subject, pair, "cross_entropy"), summed=True),
        WeightedAnswer(1.0, companion(subject, pair, "entropy"), summed=True),
    )
    for problem in subject.problems(pair):
        divergence = WeightedAnswer(1.0, subject.evaluate(problem), summed=True)
        yield judge.identity((divergence, *sides), "KL is not CE − H")


def mean_factor(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare mean × classes with batchmean for [N, C], and both with the framework's own (CE − H) ÷ N."""
    if len(pair.shape) != 2:
        return
    for problem in subject.problems(pair, Reduction.MEAN):
        mean = WeightedAnswer(float(pair.classes), subject.evaluate(problem))
        batch = WeightedAnswer(-1.0, subject.evaluate(replace(problem, reduction=Reduction.BATCHMEAN)))
        yield judge.identity((mean, batch), "mean × classes is not batchmean")
        if _has("cross_entropy", "entropy")(subject) is None and pair.p.values.shape == pair.q.values.shape:
            factor = 1.0 / pair.rows
            cross_entropy = WeightedAnswer(-factor, companion(subject, pair, "cross_entropy"), summed=True)
            entropy = WeightedAnswer(factor, companion(subject, pair, "entropy"), summed=True)
            yield judge.identity((mean, cross_entropy, entropy), "mean × classes is not (CE − H) ÷ rows")


def generalised(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare the generalised form with the framework's own plain form − Σp + Σq.

    Σp and Σq are exact on both sides, so they cancel.
    """
    if pair.p.values.shape != pair.q.values.shape:
        return
    for problem in subject.problems(pair, target=(Space.PROBABILITY,), model=Space.PROBABILITY):
        summed = problem.reduction is not Reduction.TERMS
        plain = WeightedAnswer(-1.0, companion(subject, pair, "relative_entropy"), summed=summed)
        full = WeightedAnswer(1.0, subject.evaluate(problem), summed=summed)
        yield judge.identity((full, plain), "the generalised form is not the plain form − Σp + Σq")


def _has(*names: str) -> Applies:
    """Apply where the framework has its own functions to compare with."""

    def applies(subject: Subject) -> str | None:
        for name in names:
            if getattr(type(subject.framework), name).__qualname__.startswith("Framework."):
                return f"{subject.framework.name} has no {name.replace('_', '-')} of its own for probabilities"
        return None

    return applies


REQUIREMENTS = (
    Requirement(
        id="identities/ce-minus-h",
        sentence="KL = CE − H, with the framework's own cross-entropy and entropy.",
        formula="KL(P‖Q) = CE(P, Q) − H(P)",
        reason="Users check this first; it fails by a factor of the number of classes when reductions are mixed.",
        link=CROSS_ENTROPY,
        check=ce_minus_h,
        applies=when.all_of(when.computes(Formula.PLAIN), _has("cross_entropy", "entropy")),
        families=("dirichlet-flat", "dirichlet-dense", "flat-logits", "one-hot"),
        shapes=((1, 4), (3, 5), (8, 31)),
        revision=2,
        miniature=Miniature(
            term=lambda p, lq: term(p, lq) / np.log(2.0), log_term=lambda lp, lq: log_term(lp, lq) / np.log(2.0)
        ),
    ),
    Requirement(
        id="identities/mean-factor",
        sentence='For inputs of shape [N, C], "mean" × C = "batchmean".',
        formula="C · mean = batchmean = (CE − H) / N",
        reason="This is the factor C between the default reduction and the divergence, as an equation.",
        link=KL_DIV_LOSS,
        check=mean_factor,
        applies=when.all_of(when.offers(Reduction.MEAN), when.offers(Reduction.BATCHMEAN)),
        families=("dirichlet-flat", "power-law"),
        shapes=((1, 4), (3, 5), (8, 31)),
        miniature=Miniature(
            reduce=lambda terms, how: reduce(terms, Reduction.BATCHMEAN if how is Reduction.MEAN else how)
        ),
    ),
    Requirement(
        id="identities/generalised",
        sentence="The generalised form is the plain form − Σp + Σq.",
        formula="Σ p·log(p/q) − p + q = Σ p·log(p/q) − Σp + Σq",
        reason="For distributions the two forms are equal; for measures they differ by the total masses.",
        link="https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.kl_div.html",
        check=generalised,
        applies=when.all_of(
            when.computes(Formula.GENERALISED),
            when.accepts(Side.TARGET, Space.PROBABILITY),
            when.accepts(Side.MODEL, Space.PROBABILITY),
            _has("relative_entropy"),
        ),
        families=("measure", "dirichlet-flat"),
        miniature=Miniature(
            term=lambda p, q: term(p, np.log(q)) - p,
            formula=Formula.GENERALISED,
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
        ),
    ),
)
