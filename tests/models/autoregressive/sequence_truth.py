"""Sequence models written out in NumPy, in float64: one row, one position, one unit at a time."""

import numpy as np
from scipy.special import erf, expit, log_softmax, softmax


def weights(model):
    """The model's parameters by name."""
    return {name: value.detach().double().numpy() for name, value in model.state_dict().items()}


def inputs(model, row):
    """The start symbol, and every symbol of ``row`` but its last."""
    return [model.states, *(int(value) for value in row[:-1])]


def log_prob(logits, row):
    """Σ_i log p(x_i | x_<i)."""
    return sum(log_softmax(z)[int(value)] for z, value in zip(logits, row, strict=True))


def lstm(model, row):
    """Logits of each symbol of ``row``, and the last layer's h after each symbol read, the row's
    last one included.
    """
    w = weights(model)
    layers, size = model.lstm.num_layers, model.lstm.hidden_size
    h, c = np.zeros((layers, size)), np.zeros((layers, size))
    seen = []
    for symbol in [*inputs(model, row), int(row[-1])]:
        below = w["embedding.weight"][symbol]
        for k in range(layers):
            gates = w[f"lstm.weight_ih_l{k}"] @ below + w[f"lstm.bias_ih_l{k}"]
            gates += w[f"lstm.weight_hh_l{k}"] @ h[k] + w[f"lstm.bias_hh_l{k}"]
            for unit in range(size):
                admit, keep, new, show = gates[unit::size]
                c[k, unit] = expit(keep) * c[k, unit] + expit(admit) * np.tanh(new)
                h[k, unit] = expit(show) * np.tanh(c[k, unit])
            below = h[k].copy()
        seen.append(below)
    return [w["head.weight"] @ h + w["head.bias"] for h in seen[:-1]], np.array(seen)


def transformer(model, row):
    """Logits of each symbol of ``row``, and the attention weights (layers, heads, L, L)."""
    w = weights(model)
    length, heads = len(row), model.blocks[0].attention.heads

    def linear(name, vector):
        return w[f"{name}.weight"] @ vector + w[f"{name}.bias"]

    def normalised(name, vector):
        centred = vector - vector.mean()
        scaled = centred / np.sqrt((centred**2).mean() + 1e-5)
        return w[f"{name}.weight"] * scaled + w[f"{name}.bias"]

    h = [w["embedding.weight"][s] + w["position"][i] for i, s in enumerate(inputs(model, row))]
    maps = np.zeros((len(model.blocks), heads, length, length))
    for k in range(len(model.blocks)):
        block = f"blocks.{k}"
        read = [
            np.split(
                linear(f"{block}.attention.query_key_value", normalised(f"{block}.norm_1", v)), 3
            )
            for v in h
        ]
        size = len(h[0]) // heads
        for i in range(length):
            mixture = []
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                scores = [read[i][0][part] @ read[j][1][part] / size**0.5 for j in range(i + 1)]
                maps[k, head, i, : i + 1] = softmax(scores)
                mixture.append(sum(maps[k, head, i, j] * read[j][2][part] for j in range(i + 1)))
            h[i] = h[i] + linear(f"{block}.attention.output", np.concatenate(mixture))
        for i in range(length):
            inner = linear(f"{block}.network.0", normalised(f"{block}.norm_2", h[i]))
            gelu = inner * (1 + erf(inner / 2**0.5)) / 2
            h[i] = h[i] + linear(f"{block}.network.2", gelu)
    return [linear("head", normalised("norm", v)) for v in h], maps
