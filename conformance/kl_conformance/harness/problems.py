"""Builds problems from a pair in one implementation's convention and dtype."""

from collections.abc import Iterator

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging.cache import cached_operands, cached_problem
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand, Problem


class ProblemBuilder:
    """Builds the problems of an implementation in a dtype; it calls nothing.

    Parameters
    ----------
    implementation, dtype
        The implementation, and the dtype of its operands.
    """

    def __init__(self, implementation: Implementation, dtype: Dtype) -> None:
        self.implementation = implementation
        self.dtype = dtype
        self.rotation: int | None = None  # the half of the call forms that `problems` yields; None for all

    @property
    def convention(self) -> Convention:
        """The definition that the implementation declares."""
        return self.implementation.convention

    @property
    def forms(self) -> tuple[tuple[Space, Space], ...]:
        """Every combination of target space and model space that the implementation accepts."""
        return tuple((t, m) for t in self.convention.target for m in self.convention.model)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides with respect to which it can be differentiated."""
        return tuple(side for side in Side if side in self.implementation.gradients)

    def offers(self, *reductions: Reduction) -> tuple[Reduction, ...]:
        """Return the given reductions that the implementation offers; all that it offers when none is given."""
        offered = tuple(self.convention.reductions.values())
        return tuple(each for each in offered if each in reductions) if reductions else offered

    @property
    def finest(self) -> Reduction:
        """The reduction that keeps the most: terms, else rows, else one number."""
        order = list(Reduction)
        return min(self.offers(), key=order.index)

    def problem(
        self,
        pair: Pair,
        reduction: Reduction | None = None,
        *,
        target: Space | None = None,
        model: Space | None = None,
        subnormals: bool = False,
        layout: str = "contiguous",
        mathematical: bool = False,
    ) -> Problem:
        """Realise a pair in this column's Convention and dtype.

        With ``mathematical``, the expected answer is that of the definition, without the Convention's clip.
        """
        convention = self.convention
        spaces = target or convention.target[0], model or convention.model[0]
        clip = None if mathematical else convention.clip
        reduction = reduction or self.finest
        options = (convention.formula, reduction, clip, convention.normalise, convention.smoothing, layout)

        def make() -> Problem:
            p, q = cached_operands(pair, *spaces, self.dtype, subnormals=subnormals)
            return Problem(
                p,
                q,
                formula=convention.formula,
                reduction=reduction,
                axis=pair.axis,
                clip=clip,
                normalise=convention.normalise,
                smoothing=convention.smoothing,
                layout=layout,
            )

        return cached_problem(pair, (spaces, self.dtype, subnormals, *options), make)

    def problems(
        self,
        pair: Pair,
        *reductions: Reduction,
        target: tuple[Space, ...] = tuple(Space),
        model: Space | None = None,
        subnormals: bool = False,
        layout: str = "contiguous",
    ) -> Iterator[Problem]:
        """Yield the ordinary problems of a pair: every accepted target space × every offered reduction.

        ``reductions`` limits the reductions (to the finest when none is given), ``target`` the spaces of P;
        ``model`` selects another space of Q than the Convention's first. Problems with a masked class, a NaN or an
        infinity belong to the chapters about them, so that one fault is one row of the matrix. With several
        reductions and a ``rotation``, every other combination is yielded, like the squares of one colour on a
        chessboard: each space and each reduction in every rotation, and each combination in one of two rotations.
        """
        selected = self.offers(*reductions) if reductions else (self.finest,)
        for row, space in enumerate(self.convention.target):
            for column, reduction in enumerate(selected):
                if self.rotation is not None and len(selected) > 1 and (row + column + self.rotation) % 2:
                    continue
                problem = self.problem(pair, reduction, target=space, model=model, subnormals=subnormals, layout=layout)
                if space in target and ordinary(problem) and self.in_domain(problem):
                    yield problem

    def with_pair(self, problem: Problem, pair: Pair) -> Problem:
        """Return the problem of another pair in the same spaces, with the same reduction and layout."""
        target, model = problem.target.space, problem.model.space
        return self.problem(pair, problem.reduction, target=target, model=model, layout=problem.layout)

    def in_domain(self, problem: Problem) -> bool:
        """Whether the implementation is defined for a target of this mass."""
        if not self.implementation.needs_distributions or problem.target.space is not Space.PROBABILITY:
            return True
        mass = problem.target.values.astype(np.float64).sum(problem.axis)
        # Rounding each of n probabilities moves their sum by at most n·u.
        return bool(np.all(np.abs(mass - 1.0) <= problem.target.values.shape[-1] * self.dtype.roundoff))


def ordinary(problem: Problem) -> bool:
    """Whether every p ≥ 0 and q > 0 is finite, and every logarithm and logit."""

    def fine(operand: Operand, least: float) -> bool:
        values = operand.values
        if not np.isfinite(values).all():
            return False
        return operand.space is not Space.PROBABILITY or bool((values >= least).all())

    return fine(problem.target, 0.0) and fine(problem.model, problem.model.dtype.least_subnormal)
