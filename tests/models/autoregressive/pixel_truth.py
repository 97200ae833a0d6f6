"""Pixel models written out in NumPy, in float64: one image, one pixel, one weight at a time.

Every function takes a model and an image (C, H, W) and gives the input of the head, (channels, H,
W); `conditionals` and `log_prob` say what the head makes of that. Weights are read from the model;
which of them count is decided here, from where they look.
"""

import numpy as np
from scipy.special import expit, log_softmax, logsumexp

from tests.models.autoregressive.sequence_truth import weights


def relu(x):
    return np.maximum(x, 0)


def elu(x):
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def concat_elu(x):
    return elu(np.concatenate([x, -x]))


# ------------------------------------------------------------------------------ convolutions


def convolution(w, name, x, *, top=0, left=0, kind=None, colours=1, stride=1):
    """Σ over the taps of a kernel, whose first one lies ``top`` rows above and ``left`` columns to
    the left; of ``kind`` A or B, only over what precedes in reading order.
    """
    kernel, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    outputs, inputs, rows, columns = kernel.shape
    out = np.zeros((outputs, -(-x.shape[1] // stride), -(-x.shape[2] // stride)))
    for r, c in np.ndindex(out.shape[1:]):
        for o in range(outputs):
            out[o, r, c] = bias[o]
            for i, a, b in np.ndindex(inputs, rows, columns):
                row, column = a - top, b - left
                at = (stride * r + row, stride * c + column)
                if not (0 <= at[0] < x.shape[1] and 0 <= at[1] < x.shape[2]):
                    continue
                if kind and (row, column) == (0, 0):
                    own, other = o * colours // outputs, i * colours // inputs
                    if other > own or (kind == "A" and other == own):
                        continue
                elif kind and (row, column) > (0, 0):
                    continue
                out[o, r, c] += kernel[o, i, a, b] * x[i, *at]
    return out


def square(w, name, x, kind, colours):
    """A square kernel of which only what precedes counts."""
    reach = w[f"{name}.weight"].shape[3] // 2
    return convolution(w, name, x, top=reach, left=reach, kind=kind, colours=colours)


def groups(model):
    """A mixture lets the colours see one another itself; elsewhere channels have colours."""
    return 1 if hasattr(model.head, "components") else model.event_shape[0]


# ------------------------------------------------------------------------------ PixelCNN, PixelRNN


def masked_network(model, x, block):
    """The first layer under mask A, the blocks, two layers of rectified linear units."""
    w, colours = weights(model), groups(model)
    h = square(w, "network.first", 2 * x - 1, "A", colours)
    for number in range(len(model.network.blocks)):
        h = h + block(w, f"network.blocks.{number}", h, colours)
    h = relu(square(w, "network.hidden", relu(h), "B", colours))
    return square(w, "network.last", h, "B", colours)


def pixel_cnn(model, x):
    def block(w, name, h, colours):
        for layer in ("narrow", "middle", "widen"):
            h = square(w, f"{name}.{layer}", relu(h), "B", colours)
        return h

    return masked_network(model, x, block)


def lstm_step(gates, c, colours):
    """One step: in each group of channels, first the output gates, then forget, input, new."""
    new_h, new_c, size = np.zeros_like(c), np.zeros_like(c), len(c) // colours
    for g in range(colours):
        for unit in range(size):
            out, forget, admit, new = gates[4 * size * g + unit : 4 * size * (g + 1) : size]
            k = g * size + unit
            new_c[k] = expit(forget) * c[k] + expit(admit) * np.tanh(new)
            new_h[k] = expit(out) * np.tanh(new_c[k])
    return new_h, new_c


def row_lstm(model, x):
    """The gates see the row to the left, and the states of the row above, to both sides."""

    def block(w, name, x, colours):
        reach = w[f"{name}.input.weight"].shape[3] - 1
        gates = convolution(w, f"{name}.input", x, left=reach, kind="B", colours=colours)
        kernel, bias = w[f"{name}.state.weight"], w[f"{name}.state.bias"]
        h, c = (np.zeros((kernel.shape[1], *x.shape[1:])) for _ in "hc")
        for row, column in np.ndindex(x.shape[1:]):
            gate, before = gates[:, row, column] + bias, np.zeros(len(h))
            for tap in range(kernel.shape[2]):
                at = column + tap - reach
                if row and 0 <= at < x.shape[2]:
                    gate = gate + kernel[:, :, tap] @ h[:, row - 1, at]
            if row:
                before = c[:, row - 1, column]
            h[:, row, column], c[:, row, column] = lstm_step(gate, before, colours)
        return square(w, f"{name}.out", h, "B", colours)

    return masked_network(model, x, block)


def diagonal_lstm(model, x):
    """States from the left and above; and from the right and above, a row later."""

    def scan(w, name, gates, colours):
        kernel, bias = w[f"{name}.state.weight"], w[f"{name}.state.bias"]
        rows, columns = gates.shape[1:]
        h, c = (np.zeros((kernel.shape[1], rows + 1, columns + 1)) for _ in "hc")
        for row, column in np.ndindex(rows, columns):
            above, beside = h[:, row, column + 1], h[:, row + 1, column]
            gate = gates[:, row, column] + bias + kernel[:, :, 0] @ above + kernel[:, :, 1] @ beside
            h[:, row + 1, column + 1], c[:, row + 1, column + 1] = lstm_step(
                gate, c[:, row + 1, column], colours
            )
        return h[:, 1:, 1:]

    def block(w, name, x, colours):
        gates = square(w, f"{name}.left.input", x, "B", colours)
        h = scan(w, f"{name}.left", gates, colours)
        gates = convolution(w, f"{name}.right.input", x[:, :, ::-1])
        h[:, 1:] += scan(w, f"{name}.right", gates, colours)[:, :-1, ::-1]
        return square(w, f"{name}.out", h, "B", colours)

    return masked_network(model, x, block)


# ------------------------------------------------------------------------------ gated


def gated_layer(w, name, v, h, y, context, *, first, gates, colours):
    """Both stacks after one layer: the vertical one sees rows above, the horizontal one what the
    vertical one has made of them, and its own row to the left.
    """

    def gate(x, label):
        x = x if y is None else x + label[:, None, None]
        if not gates:
            return relu(x)
        out, size = np.zeros((len(x) // 2, *x.shape[1:])), len(x) // (2 * colours)
        for g in range(colours):
            for k in range(size):
                value, opening = x[2 * size * g + k], x[2 * size * g + size + k]
                out[g * size + k] = np.tanh(value) * expit(opening)
        return out

    reach = w[f"{name}.vertical.weight"].shape[3] // 2
    above = convolution(w, f"{name}.vertical", v, top=reach, left=reach)
    if context is not None:
        above = above + convolution(w, f"{name}.context", context)
    beside = convolution(
        w, f"{name}.horizontal", h, left=reach, kind="A" if first else "B", colours=colours
    )
    beside = beside + convolution(w, f"{name}.link", above)
    label = np.zeros(2 * len(above)) if y is None else w[f"{name}.label.weight"][y]
    out = square(w, f"{name}.out", gate(beside, label[len(above) :]), "B", colours)
    return gate(above, label[: len(above)]), out if first else h + out


def gated(model, x, y=None, context=None, gates=True):
    w, colours = weights(model), groups(model)
    v = h = 2 * x - 1
    for number in range(len(model.network.layers)):
        name = f"network.layers.{number}"
        v, h = gated_layer(
            w, name, v, h, y, context, first=number == 0, gates=gates, colours=colours
        )
    h = relu(square(w, "network.hidden", relu(h), "B", colours))
    return square(w, "network.last", h, "B", colours)


def multi_scale(model, x):
    """Every second row and column from a model of its own; the rest given features of them."""
    w, small = weights(model), x[:, ::2, ::2]
    name, context = "network.enlarge", 2 * small - 1
    for layer in (f"{name}.0", f"{name}.2"):
        reach = w[f"{layer}.weight"].shape[2] // 2
        context = relu(convolution(w, layer, context, top=reach, left=reach))
    kernel, bias = w[f"{name}.4.weight"], w[f"{name}.4.bias"]
    large = np.zeros((len(bias), *x.shape[1:]))
    for o, row, column in np.ndindex(large.shape):
        weight = kernel[:, o, row % 2, column % 2]
        large[o, row, column] = bias[o] + weight @ context[:, row // 2, column // 2]
    out = gated(model, x, context=relu(large))
    coarse = multi_scale if hasattr(model.coarse, "coarse") else gated
    out[:, ::2, ::2] = coarse(model.coarse, small)
    return out


# ------------------------------------------------------------------------------ PixelCNN++


def pixel_cnn_pp(model, x):
    w, x = weights(model), 2 * x - 1

    def residual(name, x, further):
        window = {"top": 1, "left": 1}
        h = convolution(w, f"{name}.first", concat_elu(x), **window)
        if further:
            given = concat_elu(np.concatenate(further))
            h = h + convolution(w, f"{name}.further", given)
        both = convolution(w, f"{name}.second", concat_elu(h), **window)
        value, gate = both[: len(x)], both[len(x) :]
        return x + value * expit(gate)

    def tower(name, module, x, guide):
        """Features at each block, scale within scale: (down, coarser, up)."""
        down, coarse, up = [], None, []
        for i in range(len(module.down)):
            x = residual(f"{name}.down.{i}", x, [guide[0][i]] if guide else [])
            down.append(x)
        if module.coarse is not None:
            small = convolution(w, f"{name}.shrink", x, top=1, left=1, stride=2)
            coarse = tower(f"{name}.coarse", module.coarse, small, guide and guide[1])
            wide, large = convolution(w, f"{name}.grow", coarse[2][-1]), np.zeros_like(x)
            for k, row, column in np.ndindex(large.shape):
                corner = 2 * (row % 2) + column % 2
                large[k, row, column] = wide[4 * k + corner, row // 2, column // 2]
            x = large
        for i in range(len(module.up)):
            further = [guide[2][i]] if guide else []
            if module.shortcuts:
                further.append(down[-1 - i])
            x = residual(f"{name}.up.{i}", x, further)
            up.append(x)
        return down, coarse, up

    network = model.network
    above = convolution(w, "network.above", x, top=2, left=1)
    guide = tower("network.vertical", network.vertical, above, None)
    beside = convolution(w, "network.row_above", x, top=1, left=1)
    beside = beside + convolution(w, "network.left", x, top=1, left=1)
    h = tower("network.horizontal", network.horizontal, beside, guide)[2][-1]
    return convolution(w, "network.last", elu(h))


# ------------------------------------------------------------------------------ heads


def conditionals(model, out, x):
    """What `conditionals` gives for the image, (C, H, W, ...)."""
    colours, levels = model.event_shape[0], getattr(model.head, "levels", 2)
    if hasattr(model.head, "components"):
        return mixture(model.head, out, x)
    if levels == 2:
        return out
    found = np.zeros((*x.shape, levels))
    for c in range(colours):
        for level in range(levels):
            found[c, :, :, level] = out[c * levels + level]
    return found


def mixture(head, out, x):
    """Log weight, mean and log scale of each logistic; colours shown before weigh the weights."""
    count, colours = head.components, len(x)
    found = np.zeros((*x.shape, count, 3))
    for row, column in np.ndindex(x.shape[1:]):
        channels, shown = out[:, row, column].reshape(-1, count), x[:, row, column]
        log_weights, pair = log_softmax(channels[0]), 1 + 2 * colours
        for c in range(colours):
            means = channels[1 + c] + (np.arange(count) + 0.5) / count
            for j in range(c):
                means = means + channels[pair] * shown[j]
                pair += 1
            log_scales = channels[1 + colours + c] - 2
            found[c, row, column] = np.stack([log_weights, means, log_scales], 1)
            masses = log_bins(shown[c], means, log_scales, head.levels)
            log_weights = log_softmax(log_weights + masses)
    return found


def log_bins(value, means, log_scales, levels):
    """Log of what each logistic puts on the bin of a level; the outer bins are open."""
    half, scales = 0.5 / (levels - 1), np.exp(log_scales)
    upper = (value + half - means) / scales if value < 1 else np.full_like(means, np.inf)
    lower = (value - half - means) / scales if value > 0 else np.full_like(means, -np.inf)
    # Far to the right both are close to one; seen from the other side both are close to zero.
    mirrored = expit(-lower) - expit(-upper)
    return np.log(np.where(lower > 0, mirrored, expit(upper) - expit(lower)))


def log_prob(model, out, x):
    """Σ over pixels and colours of log p(x_i | x_<i)."""
    given, total = conditionals(model, out, x), 0.0
    for at in np.ndindex(x.shape):
        if hasattr(model.head, "components"):
            log_weights, means, log_scales = given[at].T
            masses = log_bins(x[at], means, log_scales, model.head.levels)
            total += logsumexp(log_weights + masses)
        elif hasattr(model.head, "levels"):
            total += log_softmax(given[at])[round(x[at] * (model.head.levels - 1))]
        else:
            total += np.log(expit(given[at] if x[at] == 1 else -given[at]))
    return total
