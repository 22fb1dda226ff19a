"""Self-check of the machine's float64 arithmetic, on which all bounds depend."""

import sys


def require_ieee() -> None:
    """Raise an error unless this thread rounds to nearest and keeps subnormal numbers.

    Python and NumPy share the control register of the thread they run in, so a few scalar operations suffice.

    Raises
    ------
    FloatingPointError
        The arithmetic of this thread has been changed.
    """
    one, u = float(1), 2.0**-53
    nearest = (
        one + u == one and one + 1.25 * u > one and -one - u == -one and -one - 1.25 * u < -one and one - 0.5 * u == one
    )
    if not nearest:
        raise FloatingPointError("this thread does not round to nearest; the reference needs IEEE 754 arithmetic")
    least = sys.float_info.min
    if least * 0.5 == 0.0 or (least * 0.5) * 2.0 != least:
        raise FloatingPointError(
            "this thread flushes subnormal numbers to zero, which affects NumPy; "
            "undo torch.set_flush_denormal(True) or call the reference in another thread"
        )
