"""Answers to the exercises of lesson 07, written as tools/coursework/answers.py says."""

_SOURCE = "torch.arange(inputs) // (inputs // colours)"
_TARGET = "torch.arange(outputs) // (outputs // colours)"
_SEEN = "return (up, right) in seen"
_EXTENT = "reach = first // 2 + layers * (later // 2)"
_LAST = "torch.where(k[:, None] == levels - 1, 1.0, upper)"
_FIRST = "torch.where(k[:, None] == 0, 0.0, lower)"
_MASS = "((upper - lower) @ logits.softmax(0)).log()"
_LAYER = "earlier[layer], h = h, cell(layer, earlier[layer], h)"

WRONG = {
    "mask": {
        "mask A opens the centre as well": ("source < target", "source <= target"),
        "mask B closes the centre": ("source <= target", "source < target"),
        "colours interleaved instead of consecutive": [
            (_SOURCE, "torch.arange(inputs) % colours"),
            (_TARGET, "torch.arange(outputs) % colours"),
        ],
        "rows above only up to the centre's column": (
            "mask[:, :, :centre]",
            "mask[:, :, :centre, : centre + 1]",
        ),
        "the current row left out": ("    mask[:, :, centre, :centre] = 1\n", ""),
        "earlier colours order the earlier places too": (
            "return mask",
            "return mask * (source <= target)[:, :, None, None]",
        ),
        "blue first": [
            ("source < target", "source > target"),
            ("source <= target", "source >= target"),
        ],
        "at most three colours": [
            (f"source = {_SOURCE}", f"source = ({_SOURCE}).clamp(max=2)"),
            (f"target = ({_TARGET})", f"target = ({_TARGET}).clamp(max=2)"),
        ],
        "no colours": (
            "= seen.float()",
            '= float(kind == "B")',
        ),
    },
    "view": {
        "all that comes before": (_SEEN, "return up > 0 or (up == 0 and right < 0)"),
        "mask A in every layer": ('steps(later, "B")', 'steps(later, "A")'),
        "mask B in the first layer": ('steps(first, "A")', 'steps(first, "B")'),
        "the row above ends at the centre's column": ("(-reach, reach + 1)", "(-reach, 1)"),
        "one layer too many": ("range(layers)", "range(layers + 1)"),
        "at most three layers": ("range(layers)", "range(min(3, layers))"),
        "the first layer is forgotten": ('set(steps(first, "A"))', "{(0, 0)}"),
        "a square of the total reach": (
            _SEEN,
            f"{_EXTENT}\n"
            "    above = 0 < up <= reach and abs(right) <= reach\n"
            "    return above or (up == 0 and -reach <= right < 0)",
        ),
        "a line at 45 degrees for any kernel": (
            _SEEN,
            f"{_EXTENT}\n"
            "    before = up > 0 or (up == 0 and right < 0)\n"
            "    return before and up <= reach and -reach <= right <= up",
        ),
        "the first kernel is as small as the later ones": ("steps(first", "steps(later"),
    },
    "mass": {
        "a whole level to each side": ("0.5 /", "1 /"),
        "a bin of one 1/L": ("0.5 / (levels - 1)", "0.5 / levels"),
        "closed ends": [(_LAST, "upper"), (_FIRST, "lower")],
        "only the lower end is open": (_LAST, "upper"),
        "only the upper end is open": (_FIRST, "lower"),
        "logarithms are mixed": (_MASS, "((upper - lower).log() * logits.softmax(0)).sum(1)"),
        "shares from exp without dividing": ("logits.softmax(0)", "logits.exp()"),
        "a probability instead of its logarithm": (".log()", ""),
        "the masses asked for sum to one": (
            f"return {_MASS}",
            "p = (upper - lower) @ logits.softmax(0)\n    return (p / p.sum()).log()",
        ),
        "scales are held above e⁻⁷": (
            "    x, half =",
            "    log_scales = log_scales.clamp(min=-7)\n    x, half =",
        ),
        "a density normalised over the levels asked for": (
            f"return {_MASS}",
            "z = (x - means) / log_scales.exp()\n"
            "    density = (z.sigmoid() * (-z).sigmoid() / log_scales.exp()) @ logits.softmax(0)\n"
            "    return (density / density.sum()).log()",
        ),
    },
    "draw": {
        "whole passes for every pixel": """
def draw(cell, channels, u):
    x = torch.zeros(len(u), u.shape[1])
    for i in range(u.shape[1]):
        h = torch.cat([torch.zeros(len(u), 1), x[:, :-1]], 1)[..., None]
        for layer in range(len(channels)):
            before = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
            h = torch.stack([cell(layer, before[:, t], h[:, t]) for t in range(i + 1)], 1)
        x[:, i] = (u[:, i] < h[:, i, 0].sigmoid()).float()
    return x
""",
        "the likelier value": ("u[:, i : i + 1] <", "0.5 <"),
        "what is nearly certain is certain": (
            "        pixel = (",
            "        h = torch.where(h.abs() > math.log(19), 1e4 * h, h)\n        pixel = (",
        ),
        "the memory is emptied every ten places": (
            "        h = pixel\n",
            "        h = pixel\n"
            "        if i % 10 == 0:\n"
            "            earlier = [torch.zeros(len(u), c) for c in channels]\n",
        ),
        "nothing is remembered": ("earlier[layer], h = h, cell", "h = cell"),
        "earlier and newest exchanged": ("earlier[layer], h)", "h, earlier[layer])"),
        "the output is remembered instead of the input": [
            (
                _LAYER,
                "h = cell(layer, earlier[layer], h)\n"
                "            if layer + 1 < len(channels):\n"
                "                earlier[layer + 1] = h",
            ),
            ("        pixel = ", "        earlier[0] = pixel\n        pixel = "),
        ],
        "ones where u is large": ("< h.sigmoid()", "> h.sigmoid()"),
        "probabilities are handed on": [
            ("(u[:, i : i + 1] < h.sigmoid()).to(pixel)", "h.sigmoid()"),
            ("append(pixel)", "append((u[:, i : i + 1] < pixel).float())"),
        ],
        "the logit taken for a probability": ("< h.sigmoid()", "< h"),
    },
}

RIGHT = {
    "mask": {
        "an entry at a time": """
def kernel_mask(kind, size, inputs, outputs, colours):
    mask, centre = torch.zeros(outputs, inputs, size, size), size // 2
    for o in range(outputs):
        for i in range(inputs):
            to, of = o * colours // outputs, i * colours // inputs
            for row in range(size):
                for column in range(size):
                    if (row, column) < (centre, centre):
                        mask[o, i, row, column] = 1
            if of < to or (of == to and kind == "B"):
                mask[o, i, centre, centre] = 1
    return mask
""",
        "places counted": """
def kernel_mask(kind, size, inputs, outputs, colours):
    source = torch.arange(inputs) * colours // inputs
    target = torch.arange(outputs) * colours // outputs
    place, centre = torch.arange(size * size), size * size // 2
    own = source[None] <= target[:, None] - int(kind == "A")
    mask = (place < centre) | ((place == centre) & own[:, :, None])
    return mask.view(outputs, inputs, size, size)
""",
        "blocks repeated": [
            (_SOURCE, "torch.arange(colours).repeat_interleave(inputs // colours)"),
            (_TARGET, "torch.arange(colours).repeat_interleave(outputs // colours)"),
        ],
    },
    "view": {
        "sets of steps": [
            ("range(-reach, 0)", 'range(-reach, 1 if kind == "B" else 0)'),
            (' + ([(0, 0)] if kind == "B" else [])', ""),
        ],
        "step by step backwards": """
def in_view(up, right, first, later, layers):
    reach = (later if layers else first) // 2
    for u in range(reach + 1):
        for r in range(-reach, reach + 1 if u else 1):
            if layers == 0 and (u, r) == (up, right) and (u, r) != (0, 0):
                return True
            if layers and up >= u and in_view(up - u, right - r, first, later, layers - 1):
                return True
    return False
""",
        "by derivatives": """
def in_view(up, right, first, later, layers):
    reach = first // 2 + layers * (later // 2)
    if not (0 <= up <= reach and abs(right) <= reach):
        return False
    x = torch.zeros(1, 1, 2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    x[0, 0, reach - up, reach + right] = 1
    for layer in range(layers + 1):
        size = later if layer else first
        kernel = torch.zeros(size * size, dtype=torch.float64)
        kernel[: size * size // 2 + (layer > 0)] = 1
        x = F.conv2d(x, kernel.view(1, 1, size, size), padding=size // 2)
    return x[0, 0, reach, reach].item() > 0
""",
        "the fewest rows that a step to the right costs": """
def in_view(up, right, first, later, layers):
    a, b = first // 2, later // 2
    if up < 0 or up > a + layers * b or right < -(a + layers * b):
        return False
    if up == 0:
        return right < 0
    with_first = a + min(up - 1, layers) * b
    without_first = min(up, layers) * b - 1
    return right <= max(with_first, without_first)
""",
    },
    "mass": {
        "written once more": [
            (_LAST, "upper.masked_fill(k[:, None] == levels - 1, 1)"),
            (_FIRST, "lower.masked_fill(k[:, None] == 0, 0)"),
        ],
        "a level at a time": """
def log_mass(k, logits, means, log_scales, levels):
    def below(edge, mean, scale):
        return 1 / (1 + math.exp(min((mean - edge) / scale, 700.0)))

    found, top = [], max(float(logit) for logit in logits)
    weights = [math.exp(float(logit) - top) for logit in logits]
    for level in k:
        mass, level = 0.0, int(level)
        for weight, mean, log_scale in zip(weights, means, log_scales):
            mean, scale = float(mean), math.exp(float(log_scale))
            low, high = (level - 0.5) / (levels - 1), (level + 0.5) / (levels - 1)
            upper = 1.0 if level == levels - 1 else below(high, mean, scale)
            lower = 0.0 if level == 0 else below(low, mean, scale)
            mass += weight / sum(weights) * (upper - lower)
        found.append(math.log(mass))
    return found
""",
        "edges shared by neighbours": """
def log_mass(k, logits, means, log_scales, levels):
    edges = (torch.arange(levels + 1, dtype=torch.float64) - 0.5) / (levels - 1)
    edges[0], edges[-1] = -math.inf, math.inf
    below = torch.sigmoid((edges[:, None] - means) / log_scales.exp())
    return torch.log(((below[1:] - below[:-1]) * logits.softmax(0)).sum(1))[k.long()]
""",
        "in logarithms": """
def log_mass(k, logits, means, log_scales, levels):
    d = k[:, None].double() - means * (levels - 1)
    s = log_scales.exp() * (levels - 1)
    a = torch.where(k[:, None] == 0, -math.inf, (d - 0.5) / s)
    b = torch.where(k[:, None] == levels - 1, math.inf, (d + 0.5) / s)
    return torch.logsumexp(logits.log_softmax(0) + (b.sigmoid() - a.sigmoid()).log(), 1)
""",
    },
    "draw": {
        "written once more": (".to(pixel)", ".float()"),
        "inputs of all places kept": """
def draw(cell, channels, u):
    kept = [[torch.zeros(len(u), c)] for c in channels]
    row = torch.zeros(len(u), u.shape[1] + 1)
    for i in range(u.shape[1]):
        h = row[:, i : i + 1]
        for layer, inputs in enumerate(kept):
            inputs.append(h)
            h = cell(layer, inputs[-2], inputs[-1])
        row[:, i + 1] = (u[:, i].logit() < h[:, 0]).float()
    return row[:, 1:]
""",
        "double precision": ("(len(u), c)", "(len(u), c, dtype=torch.float64)"),
    },
}
