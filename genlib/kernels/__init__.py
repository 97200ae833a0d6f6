"""Arithmetic that models share: for each operation its reference, CPU path and Triton kernel."""

from genlib.kernels.gibbs import bernoulli, gibbs_step
from genlib.kernels.ista import lasso_active_set, lasso_ista
from genlib.kernels.kde import log_kernel_sum
from genlib.kernels.logistic_mixture import logistic_mixture_log_prob
from genlib.kernels.nade import nade_logits, nade_sample
from genlib.kernels.pairwise_l1 import minibatch_features

__all__ = [
    "bernoulli",
    "gibbs_step",
    "lasso_active_set",
    "lasso_ista",
    "log_kernel_sum",
    "logistic_mixture_log_prob",
    "minibatch_features",
    "nade_logits",
    "nade_sample",
]
