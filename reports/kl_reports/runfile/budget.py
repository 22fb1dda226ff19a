"""An itemised tolerance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BudgetItem:
    """One allowance of a tolerance.

    Parameters
    ----------
    amount
        Its size, in ``unit``.
    name
        Short name, such as ``conditioning``.
    reason
        Why it is allowed.
    unit
        Unit of ``amount`` as text, such as ``2.98e-08 = u·S, with u of float32 and S the condition``.
    """

    amount: float
    name: str
    reason: str
    unit: str = ""
