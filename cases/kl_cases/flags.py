"""The classes of bug a case is known to find."""

from __future__ import annotations

from collections.abc import Mapping

FLAGS: Mapping[str, str] = {
    "argument-order": "P and Q change places.",
    "batch-size": "Divided by the size of another axis than the batch.",
    "boundary-gradient": "A clip or a branch gives the gradient of its other side.",
    "cancellation": "A difference of large numbers keeps few digits of a small term.",
    "clamped-sign": "Negative terms are cut off at 0.",
    "double-counted": "A piece of the formula is added twice.",
    "dropped-tail": "The classes beyond a full block are left out.",
    "epsilon-plateau": "A small number is clipped to or raised by an epsilon.",
    "factor-of-classes": "Divided by the number of classes, which the sum is not.",
    "finite-loss-nan-gradient": "The loss is finite and its gradient is NaN.",
    "half-overflow": "A 16-bit intermediate leaves its range though the result does not.",
    "inner-mask": "A mask leaks into classes or rows that are not masked.",
    "log-of-zero": "log 0 meets a factor 0 and gives NaN.",
    "logits-shift": "An answer changes with a constant added to all logits.",
    "masked-nan": "A masked class (p = 0, log q = −∞) gives NaN.",
    "misuse": "The call is not the one that was meant.",
    "nan-swallowed": "A NaN becomes a number.",
    "negative-silenced": "A negative probability gives a plausible number.",
    "probability-for-log": "Probabilities stand where log-probabilities belong.",
    "ratio-range": "p/q overflows or underflows though its logarithm is harmless.",
    "rounded-inputs": "Rounding the inputs moves the exact answer away from the ideal one.",
    "silent-broadcast": "Shapes that were not meant to match are broadcast.",
    "silent-normalisation": "The inputs are divided by their sums unasked.",
    "small-gradient": "A gradient is lost against an absolute tolerance.",
    "spurious-infinity": "A finite answer overflows on the way.",
    "subnormal": "The answer hangs on numbers below the least normal one.",
    "textbook": "An example with a known answer.",
    "unnormalised": "P or Q does not sum to 1, so that KL may be negative.",
    "wrong-type": "Something other than a floating-point tensor is accepted.",
}
