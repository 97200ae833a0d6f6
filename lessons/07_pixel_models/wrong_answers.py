"""Answers to the exercises of lesson 07, written as tools/coursework/answers.py says."""

_SOURCE = "torch.arange(inputs) // (inputs // colours)"
_TARGET = "torch.arange(outputs) // (outputs // colours)"
_SEEN = "return (up, right) in seen"
_EXTENT = "reach = first // 2 + layers * (later // 2)"
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
        "the first layer always steps up": """
def in_view(up, right, first, later, layers):
    a, b = first // 2, later // 2
    if up < 0 or up > a + layers * b or right < -(a + layers * b):
        return False
    return right < 0 if up == 0 else right <= a + min(up - 1, layers) * b
""",
        "the first kernel is as small as the later ones": ("steps(first", "steps(later"),
    },
    "train": {
        "3 × 3 kernels": ('Masked(1, 16, 5, "A")', 'Masked(1, 16, 3, "A")'),
        "3 × 3 kernels, however many layers": [
            ('Masked(1, 16, 5, "A")', 'Masked(1, 16, 3, "A")'),
            ('Masked(16, 16, 1, "B")', 'Masked(16, 16, 3, "B")'),
            ('Masked(16, 1, 1, "B")', 'Masked(16, 1, 3, "B")'),
        ],
        "mask B in the first layer": ('Masked(1, 16, 5, "A")', 'Masked(1, 16, 5, "B")'),
        "mask A in every layer": [
            ('Masked(16, 16, 1, "B")', 'Masked(16, 16, 1, "A")'),
            ('Masked(16, 1, 1, "B")', 'Masked(16, 1, 1, "A")'),
        ],
        "an ordinary convolution at the end": (
            'Masked(16, 1, 1, "B")',
            "nn.Conv2d(16, 1, 3, padding=1)",
        ),
        "a few steps, whatever they reach": ("range(600)", "range(20)"),
        "stops when the batch is good": [
            (
                "        if step % 10 == 0:\n"
                "            with torch.no_grad():\n"
                "                if nats(network, valid) <= target:\n"
                "                    break\n",
                "",
            ),
            (
                "        optimiser.step()\n",
                "        optimiser.step()\n        if loss < target + 0.8:\n            break\n",
            ),
        ],
        "learns from the validation pictures": (
            "nats(network, train[rows])",
            "nats(network, valid[rows])",
        ),
        "centred by the mean of the batch": (
            "    return network",
            "    return lambda x: network(x - x.mean(0))",
        ),
        "the target taken per pixel": (
            "nats(network, valid) <= target",
            "nats(network, valid) / 25 <= target",
        ),
        "probabilities for logits": (
            "    return network",
            "    return nn.Sequential(network, nn.Sigmoid())",
        ),
        "no network comes back": ("    return network", "    return None"),
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
        "nothing is nearly certain": ("h.sigmoid()", "h.sigmoid().clamp(1e-3, 1 - 1e-3)"),
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
    "train": {
        "one layer of logits": [
            ('        Masked(1, 16, 5, "A"),\n', '        Masked(1, 1, 5, "A"),\n'),
            (
                "        nn.ReLU(),\n"
                '        Masked(16, 16, 1, "B"),\n'
                "        nn.ReLU(),\n"
                '        Masked(16, 1, 1, "B"),\n',
                "",
            ),
            ("lr=0.02", "lr=0.1"),
        ],
        "3 × 3 kernels after a first one of 5 × 5": (
            'Masked(16, 16, 1, "B")',
            'Masked(16, 16, 3, "B")',
        ),
        "a function that keeps double precision": (
            "    return network",
            "    network.double()\n    return lambda x: network(x.double())",
        ),
        "rows above in one convolution, the row itself in another": """
def trained(train, valid, target):
    above, left = nn.Conv2d(1, 8, (2, 5)), nn.Conv2d(1, 8, (1, 2))
    out = nn.Conv2d(8, 1, 1)

    def network(x):
        rows = above(F.pad(x[:, :, :-1], (2, 2, 2, 0)))
        places = left(F.pad(x[..., :-1], (2, 0)))
        return out((rows + places).tanh())

    parts = [p for layer in (above, left, out) for p in layer.parameters()]
    optimiser = torch.optim.Adam(parts, lr=0.03)
    while nats(network, valid).item() > target:
        for rows in torch.randperm(len(train)).split(100):
            optimiser.zero_grad()
            nats(network, train[rows]).backward()
            optimiser.step()
    return network
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
