"""The fast-math profile accepts the documented errors on every family, and no fault."""

from dataclasses import replace

import numpy as np
import pytest

from kl_audit.intrinsics import kernels as fast_kernels
from kl_audit.intrinsics import worst
from kl_cases.distributions import FAMILIES
from kl_cases.recipes import Recipe, build
from kl_conformance.harness.problems import ordinary
from kl_conformance.judging import judge
from kl_conformance.judging.cache import reference
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Mask
from kl_reference import Dtype, Problem, Profile, Reduction, Space, answer, tolerance
from studies.separation.kernels import Float32, Terms, correct_kernels, faulty_kernels, plain

FLOAT32 = Dtype.FLOAT32
FAST = Profile.fast(FLOAT32)
CAREFUL = replace(Profile.of(FLOAT32), flush_to_zero=True)


def judged(problem: Problem, got: Float32, profile: Profile) -> Mask:
    """Return where an answer fails."""
    enclosure = reference(problem)
    allowed = tolerance(problem, enclosure, profile)
    evaluation = Evaluation(
        problem, got.astype(np.float64), FLOAT32.label, enclosure, allowed, profile, CallDescription("a kernel"), answer
    )
    return judge.within_tolerance(evaluation, decisive=False).failed


def problems(family: str, space: Space) -> list[Problem]:
    """Return a family's problems in float32, by terms and by rows, where no intermediate result overflows."""
    found: list[Problem] = []
    for classes in (max(2, FAMILIES[family].classes), 127):
        pair = build(Recipe(family, (32, classes), FLOAT32, seed=7))
        problem = Problem(*pair.realise(space, Space.LOG, FLOAT32))
        if ordinary(problem) and np.all(reference(problem).scale.condition < FLOAT32.largest):
            found += [problem, replace(problem, reduction=Reduction.ROWS)]
    return found


@pytest.mark.parametrize("space", [Space.PROBABILITY, Space.LOG])
def test_the_worst_fast_kernels_pass_on_every_family(space: Space) -> None:
    """Kernels with the largest documented errors pass with the fast-math profile, and only with it, on all families."""
    tested, failed = set[str](), set[str]()
    for family in FAMILIES:
        for problem in problems(family, space):
            for fast in worst():
                for way, terms in fast_kernels(problem, fast):
                    got = terms if problem.reduction is Reduction.TERMS else np.sum(terms, axis=-1)
                    assert not judged(problem, got, FAST).any(), (family, way, fast)
                    tested.add(family)
                    if judged(problem, got, CAREFUL).any():
                        failed.add(family)
    assert len(tested) > 10
    assert len(failed) > len(tested) // 3


def test_fast_math_excuses_no_fault() -> None:
    """Every fault in a term that fails with an accurate profile fails with the fast one, on the whole ladder."""
    problem = Problem(
        *build(Recipe("ladder", (100, 31), FLOAT32, seed=31)).realise(Space.PROBABILITY, Space.LOG, FLOAT32)
    )
    p, log_q = problem.target.values, problem.model.values

    def share(made: Terms) -> float:
        with np.errstate(all="ignore"):
            return float(np.mean(judged(problem, made(p, log_q), FAST).any(axis=-1)))

    shares = {kernel.name: share(kernel.terms) for kernel in faulty_kernels() if kernel.terms is not plain}
    assert {"log(p + 1e-12)", "p clipped to 1e-07", "log off by 1e-06, relatively"} <= shares.keys()
    assert {name: each for name, each in shares.items() if each < 1} == {}
    assert [share(kernel.terms) for kernel in correct_kernels()] == [0, 0]
