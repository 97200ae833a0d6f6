"""Boltzmann machines in plain loops and float64, over all their states."""

import itertools
import math

import numpy as np


def states(units):
    return np.array(list(itertools.product((0.0, 1.0), repeat=units)))


def joint_energy(x, h, W, b, c):
    """−b · x − c · h − Σ_ij x_i W_ij h_j, number by number."""
    energy = 0.0
    for i, x_i in enumerate(x):
        energy -= b[i] * x_i
    for j, h_j in enumerate(h):
        energy -= c[j] * h_j
    for i, x_i in enumerate(x):
        for j, h_j in enumerate(h):
            energy -= x_i * W[i, j] * h_j
    return energy


def log_sum(values):
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))


def joint(W, b, c):
    """p(x, h) of all pairs of states, (2^visible, 2^hidden), and log Z."""
    rows = [[-joint_energy(x, h, W, b, c) for h in states(len(c))] for x in states(len(b))]
    log_z = log_sum([value for row in rows for value in row])
    return np.exp(np.array(rows) - log_z), log_z


def step_matrix(W, b, c):
    """Probabilities of a step of block Gibbs sampling, from row to column state of x."""
    p, _ = joint(W, b, c)
    return p / p.sum(1, keepdims=True) @ (p / p.sum(0, keepdims=True)).T


def statistics(p, W, c):
    """E[x σ(xW + c)ᵀ], E[x] and E[σ(xW + c)] under probabilities of all states of x."""
    x = states(len(W))
    h = 1 / (1 + np.exp(-(x @ W + c)))
    return (x * p[:, None]).T @ h, p @ x, p @ h
