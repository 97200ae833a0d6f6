"""Small trained-looking models, and the answers that enumeration gives for them."""

import torch

import genlib as gl

ORDER = [3, 0, 5, 1, 7, 2, 8, 4, 6]


def completion_probabilities(model, x, known):
    """All events that agree with ``x`` where ``known``, and p(event | known), by enumeration."""
    events = gl.binary_events(len(x), dtype=x.dtype)
    agree = (events == x)[:, known].all(1)
    return events[agree], torch.softmax(model.log_prob(events[agree]).double(), 0)


def log_prob_from_conditionals(model, x):
    """Σ_i log p(x_i | x_<i), from logits."""
    p = model.conditionals(x).double().sigmoid()
    return (x.double() * p.log() + (1 - x.double()) * (1 - p).log()).sum(1)
