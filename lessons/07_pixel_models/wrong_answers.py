"""Answers that students give, and what the checks must make of them.

``WRONG`` and ``RIGHT`` map an exercise to {name: what the cell of the answer holds}. A wrong answer
is named by its misconception and must lose points on its own exercise alone; a right one is written
in another way than the solution and must get full marks.
"""


def _mask(
    *,
    above="mask[:, :, :centre] = 1",
    left="mask[:, :, centre, :centre] = 1",
    source="torch.arange(inputs) // (inputs // colours)",
    target="torch.arange(outputs) // (outputs // colours)",
    a="source < target",
    b="source <= target",
):
    """An answer to `kernel_mask`, with one idea in it replaced."""
    return f"""
def kernel_mask(kind, size, inputs, outputs, colours):
    centre = size // 2
    mask = torch.zeros(outputs, inputs, size, size)
    {above}
    {left}
    source, target = {source}, ({target})[:, None]
    mask[:, :, centre, centre] = ({a} if kind == "A" else {b}).float()
    return mask
"""


def _view(
    *,
    above="range(-reach, reach + 1)",
    own='range(-reach, 1 if kind == "B" else 0)',
    start='{(u, r) for u, r in steps(first, "A")}',
    depth="layers",
    later='steps(later, "B")',
):
    """An answer to `in_view`, with one idea in it replaced."""
    return f"""
def steps(size, kind):
    reach = size // 2
    found = [(u, r) for u in range(1, reach + 1) for r in {above}]
    return found + [(0, r) for r in {own}]


def in_view(up, right, first, later, layers):
    seen = {start}
    for _ in range({depth}):
        seen = {{(u + v, r + s) for u, r in seen for v, s in {later}}}
    return (up, right) in seen
"""


def _mass(
    *,
    half="0.5 / (levels - 1)",
    first="torch.where(k[:, None] == 0, 0.0, lower)",
    last="torch.where(k[:, None] == levels - 1, 1.0, upper)",
    mix="((upper - lower) @ logits.softmax(0)).log()",
):
    """An answer to `log_mass`, with one idea in it replaced."""
    return f"""
def log_mass(k, logits, means, log_scales, levels):
    x, half = k[:, None] / (levels - 1), {half}
    upper = ((x + half - means) / log_scales.exp()).sigmoid()
    lower = ((x - half - means) / log_scales.exp()).sigmoid()
    lower, upper = {first}, {last}
    return {mix}
"""


def _draw(
    *,
    memory="[torch.zeros(len(u), c) for c in channels]",
    step="earlier[layer], h = h, cell(layer, earlier[layer], h)",
    begin="h = pixel",
    pixel="(u[:, i : i + 1] < h.sigmoid()).float()",
):
    """An answer to `draw`, with one idea in it replaced."""
    return f"""
def draw(cell, channels, u):
    earlier = {memory}
    pixel, pixels = torch.zeros(len(u), 1), []
    for i in range(u.shape[1]):
        {begin}
        for layer in range(len(channels)):
            {step}
        pixel = {pixel}
        pixels.append(pixel)
    return torch.cat(pixels, 1)
"""


WRONG = {
    "mask": {
        "mask A opens the centre as well": _mask(a="source <= target"),
        "mask B closes the centre": _mask(b="source < target"),
        "colours interleaved instead of consecutive": _mask(
            source="torch.arange(inputs) % colours", target="torch.arange(outputs) % colours"
        ),
        "rows above only up to the centre's column": _mask(
            above="mask[:, :, :centre, : centre + 1] = 1"
        ),
        "the current row left out": _mask(left="pass"),
        "earlier colours order the earlier places too": """
def kernel_mask(kind, size, inputs, outputs, colours):
    source = torch.arange(inputs) // (inputs // colours)
    target = (torch.arange(outputs) // (outputs // colours))[:, None]
    place, centre = torch.arange(size * size).view(size, size), size * size // 2
    centre_open = (source < target if kind == "A" else source <= target)[:, :, None, None]
    before = (place < centre) & (source <= target)[:, :, None, None]
    return (before | ((place == centre) & centre_open)).float()
""",
        "blue first": _mask(a="source > target", b="source >= target"),
        "no colours": _mask(
            a="torch.zeros(outputs, inputs)",
            b="torch.ones(outputs, inputs)",
        ),
    },
    "view": {
        "all that comes before": """
def in_view(up, right, first, later, layers):
    return up > 0 or (up == 0 and right < 0)
""",
        "mask A in every layer": _view(later='steps(later, "A")'),
        "mask B in the first layer": _view(start='set(steps(first, "B"))'),
        "the row above ends at the centre's column": _view(above="range(-reach, 1)"),
        "one layer too many": _view(depth="layers + 1"),
        "the first layer is forgotten": _view(start="{(0, 0)}"),
        "a square of the total reach": """
def in_view(up, right, first, later, layers):
    reach = first // 2 + layers * (later // 2)
    return (0 < up <= reach and abs(right) <= reach) or (up == 0 and -reach <= right < 0)
""",
        "a line at 45 degrees for any kernel": """
def in_view(up, right, first, later, layers):
    reach = first // 2 + layers * (later // 2)
    before = up > 0 or (up == 0 and right < 0)
    return before and up <= reach and right >= -reach and right <= up
""",
        "the first kernel is as small as the later ones": _view(start='set(steps(later, "A"))'),
    },
    "mass": {
        "a whole level to each side": _mass(half="1 / (levels - 1)"),
        "a bin of one 1/L": _mass(half="0.5 / levels"),
        "closed ends": _mass(first="lower", last="upper"),
        "only the lower end is open": _mass(last="upper"),
        "only the upper end is open": _mass(first="lower"),
        "logarithms are mixed": _mass(mix="((upper - lower).log() * logits.softmax(0)).sum(1)"),
        "shares from exp without dividing": _mass(mix="((upper - lower) @ logits.exp()).log()"),
        "a probability instead of its logarithm": _mass(mix="(upper - lower) @ logits.softmax(0)"),
        "normalised over the levels asked for": """
def log_mass(k, logits, means, log_scales, levels):
    x = k[:, None] / (levels - 1)
    z = ((x - means) / log_scales.exp())
    density = (z.sigmoid() * (-z).sigmoid() / log_scales.exp()) @ logits.softmax(0)
    return (density / density.sum()).log()
""",
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
        "the likelier value": _draw(pixel="(h > 0).float()"),
        "nothing is remembered": _draw(
            step="h = cell(layer, torch.zeros(len(u), channels[layer]), h)",
        ),
        "earlier and newest exchanged": _draw(
            step="earlier[layer], h = h, cell(layer, h, earlier[layer])",
        ),
        "the output is remembered instead of the input": """
def draw(cell, channels, u):
    earlier = [torch.zeros(len(u), c) for c in channels]
    pixel, pixels = torch.zeros(len(u), 1), []
    for i in range(u.shape[1]):
        h = pixel
        for layer in range(len(channels)):
            h = cell(layer, earlier[layer], h)
            if layer + 1 < len(channels):
                earlier[layer + 1] = h
        earlier[0] = pixel
        pixel = (u[:, i : i + 1] < h.sigmoid()).float()
        pixels.append(pixel)
    return torch.cat(pixels, 1)
""",
        "ones where u is large": _draw(pixel="(u[:, i : i + 1] > h.sigmoid()).float()"),
        "probabilities are handed on": """
def draw(cell, channels, u):
    earlier = [torch.zeros(len(u), c) for c in channels]
    p, pixels = torch.zeros(len(u), 1), []
    for i in range(u.shape[1]):
        h = p
        for layer in range(len(channels)):
            earlier[layer], h = h, cell(layer, earlier[layer], h)
        p = h.sigmoid()
        pixels.append((u[:, i : i + 1] < p).float())
    return torch.cat(pixels, 1)
""",
        "the logit taken for a probability": _draw(pixel="(u[:, i : i + 1] < h).float()"),
    },
}

RIGHT = {
    "mask": {
        "places counted": """
def kernel_mask(kind, size, inputs, outputs, colours):
    source = torch.arange(inputs) * colours // inputs
    target = torch.arange(outputs) * colours // outputs
    place, centre = torch.arange(size * size), size * size // 2
    own = source[None] <= target[:, None] - int(kind == "A")
    mask = (place < centre) | ((place == centre) & own[:, :, None])
    return mask.view(outputs, inputs, size, size)
""",
        "blocks repeated": _mask(
            source="torch.arange(colours).repeat_interleave(inputs // colours)",
            target="torch.arange(colours).repeat_interleave(outputs // colours)",
        ),
    },
    "view": {
        "sets of steps": _view(),
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
        "written once more": _mass(),
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
        "written once more": _draw(),
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
        "double precision": _draw(
            memory="[torch.zeros(len(u), c, dtype=torch.float64) for c in channels]",
        ),
    },
}
