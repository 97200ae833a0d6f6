"""Properties that a model must have, as checks that anybody can call.

Each check returns nothing and raises `VerificationError`, with the first index at which the
property fails and a sentence on the likely cause. Checks on random samples state their false-alarm
rate: `FALSE_ALARM` is the probability, over all the comparisons of one call, that a correct model
fails. A check that could not fail, for want of draws, rows or a finite tolerance, is refused.
"""

from genlib.verify._common import FALSE_ALARM, VerificationError
from genlib.verify.autoregressive import causal
from genlib.verify.chains import detailed_balance, stationary
from genlib.verify.densities import normalised, samples_match
from genlib.verify.estimates import bound, estimate
from genlib.verify.gradients import gradient

__all__ = [
    "FALSE_ALARM",
    "VerificationError",
    "bound",
    "causal",
    "detailed_balance",
    "estimate",
    "gradient",
    "normalised",
    "samples_match",
    "stationary",
]
