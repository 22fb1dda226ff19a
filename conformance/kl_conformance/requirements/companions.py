"""Companions: the same number by way of the library's own cross-entropy, entropy and relative entropy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kl_cases.pair import Pair
from kl_conformance import judge
from kl_conformance.call import CallDescription
from kl_conformance.evaluation import Evaluation
from kl_conformance.implementation import Call
from kl_conformance.judge import Weighed
from kl_conformance.judgement import Judgement
from kl_conformance.requirement import Applies, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import Sketch, log_term, reduce, term
from kl_conformance.subject import Subject
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.problem import Problem

CROSS_ENTROPY = "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html"


def companion(subject: Subject, pair: Pair, name: str) -> Evaluation:
    """Ask the framework's own ``cross_entropy`` or ``entropy`` of each row, or ``relative_entropy`` of each class."""
    space = Space.LOGITS if name == "cross_entropy" else Space.PROBABILITY
    p, q = pair.realise(Space.PROBABILITY, space, subject.dtype)
    if name == "entropy":
        # H(P) = −Σ p·log p: the cross-entropy of P with itself, and no second argument to round.
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
    """Compare KL with the framework's cross-entropy less its entropy."""
    if len(pair.shape) != 2 or pair.p.values.shape != pair.q.values.shape:
        return
    sides = (
        Weighed(-1.0, companion(subject, pair, "cross_entropy"), summed=True),
        Weighed(1.0, companion(subject, pair, "entropy"), summed=True),
    )
    for problem in subject.problems(pair):
        divergence = Weighed(1.0, subject.evaluate(problem), summed=True)
        yield judge.balances((divergence, *sides), "KL is not CE − H")


def mean_factor(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare mean × classes with batchmean for [N, C], and both with the framework's own (CE − H) ÷ N."""
    if len(pair.shape) != 2:
        return
    for problem in subject.problems(pair, Reduction.MEAN):
        mean = Weighed(float(pair.classes), subject.evaluate(problem))
        batch = Weighed(-1.0, subject.evaluate(replace(problem, reduction=Reduction.BATCHMEAN)))
        yield judge.balances((mean, batch), "mean × classes is not batchmean")
        if _has("cross_entropy", "entropy")(subject) is None and pair.p.values.shape == pair.q.values.shape:
            share = 1.0 / pair.rows
            crossed = Weighed(-share, companion(subject, pair, "cross_entropy"), summed=True)
            own = Weighed(share, companion(subject, pair, "entropy"), summed=True)
            yield judge.balances((mean, crossed, own), "mean × classes is not (CE − H) ÷ rows")


def generalised(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare the generalised form with the framework's own plain one, less Σp, more Σq.

    Both sides know Σp and Σq exactly, so they cancel.
    """
    if pair.p.values.shape != pair.q.values.shape:
        return
    for problem in subject.problems(pair, target=(Space.PROBABILITY,), model=Space.PROBABILITY):
        summed = problem.reduction is not Reduction.TERMS
        plain = Weighed(-1.0, companion(subject, pair, "relative_entropy"), summed=summed)
        whole = Weighed(1.0, subject.evaluate(problem), summed=summed)
        yield judge.balances((whole, plain), "the generalised form is not the plain one − Σp + Σq")


def _has(*names: str) -> Applies:
    """Apply where the framework has functions of its own to compare with."""

    def applies(subject: Subject) -> str | None:
        for name in names:
            if getattr(type(subject.framework), name).__qualname__.startswith("Framework."):
                return (
                    f"{subject.framework.name} has no {name.replace('_', '-')} of its own for probabilities"
                )
        return None

    return applies


REQUIREMENTS = (
    Requirement(
        id="identities/ce-minus-h",
        sentence="KL = CE − H, with the framework's own cross-entropy and entropy.",
        formula="KL(P‖Q) = CE(P, Q) − H(P)",
        reason="The check people make first; it fails by a factor of classes when reductions are mixed.",
        link=CROSS_ENTROPY,
        check=ce_minus_h,
        applies=scope.both(scope.formula(Formula.PLAIN), _has("cross_entropy", "entropy")),
        families=("dirichlet-flat", "dirichlet-dense", "flat-logits", "one-hot"),
        shapes=((1, 4), (3, 5), (8, 31)),
        revision=2,
        miniature=Sketch(
            term=lambda p, lq: term(p, lq) / np.log(2.0),
            log_term=lambda lp, lq: log_term(lp, lq) / np.log(2.0),
        ),
    ),
    Requirement(
        id="identities/mean-factor",
        sentence='For [N, C], "mean" × C = "batchmean".',
        formula="C · mean = batchmean = (CE − H) / N",
        reason="The factor of classes between the default and the divergence, stated as an equation.",
        link=KL_DIV_LOSS,
        check=mean_factor,
        applies=scope.both(scope.offers(Reduction.MEAN), scope.offers(Reduction.BATCHMEAN)),
        families=("dirichlet-flat", "power-law"),
        shapes=((1, 4), (3, 5), (8, 31)),
        miniature=Sketch(
            reduce=lambda terms, how: reduce(terms, Reduction.BATCHMEAN if how is Reduction.MEAN else how)
        ),
    ),
    Requirement(
        id="identities/generalised",
        sentence="The generalised form is the plain one, less Σp, more Σq.",
        formula="Σ p·log(p/q) − p + q = Σ p·log(p/q) − Σp + Σq",
        reason="For distributions the two forms are one number; for measures they differ by the masses.",
        link="https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.kl_div.html",
        check=generalised,
        applies=scope.both(
            scope.formula(Formula.GENERALISED),
            scope.takes(Side.TARGET, Space.PROBABILITY),
            scope.takes(Side.MODEL, Space.PROBABILITY),
            _has("relative_entropy"),
        ),
        families=("measure", "dirichlet-flat"),
        miniature=Sketch(
            term=lambda p, q: term(p, np.log(q)) - p,
            formula=Formula.GENERALISED,
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
        ),
    ),
)
