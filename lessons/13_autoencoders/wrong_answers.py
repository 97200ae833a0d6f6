"""Answers to the exercises of lesson 13, written as tools/coursework/answers.py says."""

_SOFT = "(-squares / (2 * sigma**2)).softmax(1)"
_ON = "on = rho * torch.log(rho / mean)"
_OFF = "off = (1 - rho) * torch.log((1 - rho) / (1 - mean))"

WRONG = {
    "copy": {
        "the transpose for the inverse": ("torch.linalg.pinv(W)", "W.T.clone()"),
        "the encoder's bias left in": ("c = -V @ b", "c = 0 * (V @ b)"),
        "the bias added once more": ("c = -V @ b", "c = V @ b"),
        "the encoder's bias itself, where it fits": (
            "c = -V @ b",
            "c = -(b[: len(V)])",
        ),
        "the first d rows of W, the others ignored, transposed": (
            "torch.linalg.pinv(W)",
            "torch.cat([torch.linalg.inv(W[: W.shape[1]]).T, "
            "torch.zeros(W.shape[1], len(W) - W.shape[1]).to(W)], 1)",
        ),
        "the weights it was given changed in place": (
            "    c = -V @ b",
            "    c = -V @ b\n    W.mul_(2)",
        ),
        "an inverse that is too strongly regularised": (
            "torch.linalg.pinv(W)",
            "torch.linalg.solve(W.T @ W + 0.01 * torch.eye(W.shape[1]).to(W), W.T)",
        ),
        "an inverse that is hardly regularised": (
            "torch.linalg.pinv(W)",
            "torch.linalg.solve(W.T @ W + 1e-8 * torch.eye(W.shape[1]).to(W), W.T)",
        ),
        "small singular values dropped": (
            "torch.linalg.pinv(W)",
            "torch.linalg.pinv(W, rtol=1e-2)",
        ),
        "the first d rows inverted, which may be singular": (
            "torch.linalg.pinv(W)",
            "torch.cat([torch.linalg.inv(W[: W.shape[1]]), "
            "torch.zeros(W.shape[1], len(W) - W.shape[1]).to(W)], 1)",
        ),
        "the weights alone": ("return V, c", "return float(V[0, 0])"),
    },
    "sparse": {
        "as it was given": "sparse_loss = faulty_loss",
        "a mean over values": (".sum(1).mean()", ".mean()"),
        "a sum over rows": (".sum(1).mean()", ".sum()"),
        "half the squared error": (
            "error = (x - restored).square().sum(1).mean()",
            "error = 0.5 * (x - restored).square().sum(1).mean()",
        ),
        "the mean of the divergences of single rows": [
            ("mean = z.mean(0)", "mean = z"),
            ("(on + off).sum()", "(on + off).sum(1).mean()"),
        ],
        "a divergence for every row, summed": ("(on + off).sum()", "len(x) * (on + off).sum()"),
        "the divergence turned round": [
            (_ON, "on = mean * torch.log(mean / rho)"),
            (_OFF, "off = (1 - mean) * torch.log((1 - mean) / (1 - rho))"),
        ],
        "units that are off left out": ("(on + off).sum()", "on.sum()"),
        "a mean over units": ("(on + off).sum()", "(on + off).mean()"),
        "mean activations kept off 0 and 1": (
            "mean = z.mean(0)",
            "mean = z.mean(0).clamp(0.05, 0.95)",
        ),
        "one activation for all units": ("mean = z.mean(0)", "mean = z.mean() + 0 * z[0]"),
        "eta forgotten": ("error + eta * (", "error + 1.0 * ("),
        "a cross-entropy for the divergence": [
            (_ON, "on = -rho * torch.log(mean)"),
            (_OFF, "off = -(1 - rho) * torch.log(1 - mean)"),
        ],
    },
    "contraction": {
        "the slope of the first layer forgotten": (
            "(h * (1 - h))[:, :, None] * W1",
            "torch.ones_like(h)[:, :, None] * W1",
        ),
        "the slope of the second layer forgotten": (
            "(z * (1 - z))[:, :, None] * (W2 @ first)",
            "W2 @ first",
        ),
        "the norm, not squared": (
            "J.square().sum((1, 2))",
            "J.square().sum((1, 2)).sqrt()",
        ),
        "a mean over the entries": ("J.square().sum((1, 2))", "J.square().mean((1, 2))"),
        "the spectral norm": (
            "J.square().sum((1, 2))",
            "torch.linalg.matrix_norm(J, 2).square()",
        ),
        "the products of the layers' norms": (
            "exact = J.square().sum((1, 2))",
            "exact = first.square().sum((1, 2)) * ((z * (1 - z)).square() @ W2.square().sum(1))",
        ),
        "the two layers' norms added": (
            "exact = J.square().sum((1, 2))",
            "exact = first.square().sum((1, 2)) + (z * (1 - z)).square() @ W2.square().sum(1)",
        ),
        "the slope of tanh": ("(z * (1 - z))", "(1 - z**2)"),
        "the estimate divided by the number of units": (
            "[:, :, 0].square().sum(1)",
            "[:, :, 0].square().mean(1)",
        ),
        "the sum of all entries of J'v, squared": (
            "[:, :, 0].square().sum(1)",
            "[:, :, 0].sum(1).square()",
        ),
        "the exact norm twice": ("return exact, estimate", "return exact, exact"),
    },
    "denoiser": {
        "the nearest point": (
            _SOFT,
            "torch.nn.functional.one_hot(squares.argmin(1), len(points)).to(x)",
        ),
        "the mean of all points": (_SOFT, "torch.full_like(squares, 1 / len(points))"),
        "the distance not in units of sigma": (_SOFT, "(-squares / 2).softmax(1)"),
        "sigma for its square in the weights": (_SOFT, "(-squares / (2 * sigma)).softmax(1)"),
        "the factor of two forgotten": (_SOFT, "(-squares / sigma**2).softmax(1)"),
        "weights that sum to one over the rows": (_SOFT, _SOFT.replace("softmax(1)", "softmax(0)")),
        "weights underflow": [
            (
                f"weights = {_SOFT}",
                "weights = (-squares / (2 * sigma**2)).exp() + 1e-300\n"
                "    weights = weights / weights.sum(1, keepdim=True)",
            )
        ],
        "the nearest point where sigma is small": (
            "    mean = weights @ points",
            "    if sigma < 0.1:\n"
            "        nearest = squares.argmin(1)\n"
            "        weights = torch.nn.functional.one_hot(nearest, len(points)).to(x)\n"
            "    mean = weights @ points",
        ),
        "the nearest point where all weights underflow": (
            "    mean = weights @ points",
            "    nearest = torch.nn.functional.one_hot(squares.argmin(1), len(points)).to(x)\n"
            "    vanish = (-squares / (2 * sigma**2)).exp().sum(1, keepdim=True) == 0\n"
            "    weights = torch.where(vanish, nearest, weights)\n"
            "    mean = weights @ points",
        ),
        "sigma kept from small values": (
            _SOFT,
            "(-squares / (2 * max(sigma, 0.05) ** 2)).softmax(1)",
        ),
        "exponents kept from large values": (
            _SOFT,
            "(-squares / (2 * sigma**2)).clamp(min=-700).softmax(1)",
        ),
        "the residual turned round": ("(mean - x) / sigma**2", "(x - mean) / sigma**2"),
        "the residual itself": ("(mean - x) / sigma**2", "mean - x"),
        "divided by sigma": ("(mean - x) / sigma**2", "(mean - x) / sigma"),
        "the score towards the nearest point": (
            "return mean, (mean - x) / sigma**2",
            "return mean, (points[squares.argmin(1)] - x) / sigma**2",
        ),
        "the noisy row shrunk": ("weights @ points", "weights @ points / (1 + sigma**2)"),
    },
}

RIGHT = {
    "copy": {
        "the normal equations": """
def copying_decoder(W, b):
    V = torch.linalg.solve(W.T @ W, W.T)
    return V, -V @ b
""",
        "least squares, in NumPy and lists": """
def copying_decoder(W, b):
    import numpy as np

    W, b = W.numpy(), b.numpy()
    V = np.linalg.lstsq(W, np.eye(len(W)), rcond=None)[0]
    return V.tolist(), (-(V @ b)).tolist()
""",
        "a QR decomposition, results in float32": """
def copying_decoder(W, b):
    Q, R = torch.linalg.qr(W)
    V = torch.linalg.solve_triangular(R, Q.T, upper=True)
    return V.float(), -(V @ b).float()
""",
    },
    "sparse": {
        "loops": """
def sparse_loss(x, restored, z, rho, eta):
    N = len(x)
    total = 0.0
    for row, back in zip(x.tolist(), restored.tolist()):
        total += sum((a - b) ** 2 for a, b in zip(row, back)) / N
    for unit in z.T.tolist():
        m = sum(unit) / N
        total += eta * (rho * math.log(rho / m) + (1 - rho) * math.log((1 - rho) / (1 - m)))
    return total
""",
        "torch's divergence between coins": """
def sparse_loss(x, restored, z, rho, eta):
    from torch.distributions import Bernoulli, kl_divergence

    mean = z.mean(0)
    target = Bernoulli(torch.full_like(mean, rho))
    error = torch.nn.functional.mse_loss(restored, x, reduction="sum") / len(x)
    return error + eta * kl_divergence(target, Bernoulli(mean)).sum()
""",
    },
    "contraction": {
        "autograd, row by row": """
def contraction(x, W1, b1, W2, b2, v):
    exact, estimate = [], []
    for row, direction in zip(x, v):
        def encoder(r):
            return ((r @ W1.T + b1).sigmoid() @ W2.T + b2).sigmoid()

        J = torch.autograd.functional.jacobian(encoder, row)
        exact.append((J**2).sum().item())
        estimate.append(((direction @ J) ** 2).sum().item())
    return exact, estimate
""",
        "one backward pass for the estimate, NumPy for the norm": """
def contraction(x, W1, b1, W2, b2, v):
    import numpy as np

    seen = x.clone().requires_grad_()
    z = ((seen @ W1.T + b1).sigmoid() @ W2.T + b2).sigmoid()
    (pulled,) = torch.autograd.grad(z, seen, v)
    h = 1 / (1 + np.exp(-(x.numpy() @ W1.numpy().T + b1.numpy())))
    out = z.detach().numpy()
    J = np.einsum("nk,km,nm,md->nkd", out * (1 - out), W2.numpy(), h * (1 - h), W1.numpy())
    return (J**2).sum((1, 2)), pulled.pow(2).sum(1)
""",
        "a list of float32 tensors": """
def contraction(x, W1, b1, W2, b2, v):
    def encoder(row):
        return torch.sigmoid(W2 @ torch.sigmoid(W1 @ row + b1) + b2)

    J = torch.func.vmap(torch.func.jacrev(encoder))(x)
    exact = torch.linalg.matrix_norm(J) ** 2
    return [exact.float(), torch.einsum("nkd,nk->nd", J, v).pow(2).sum(1).float()]
""",
    },
    "denoiser": {
        "the score by autograd, the mean by Tweedie": """
def best_denoiser(x, points, sigma):
    seen = x.clone().requires_grad_()
    log_p = (-((seen[:, None] - points) ** 2).sum(2) / (2 * sigma**2)).logsumexp(1)
    (score,) = torch.autograd.grad(log_p.sum(), seen)
    return x + sigma**2 * score, score
""",
        "loops, the largest exponent taken out": """
def best_denoiser(x, points, sigma):
    means, scores = [], []
    for row in x.tolist():
        logs = [-sum((a - b) ** 2 for a, b in zip(row, p)) / (2 * sigma**2) for p in points.tolist()]
        w = [math.exp(value - max(logs)) for value in logs]
        mean = [sum(a * p[i] for a, p in zip(w, points.tolist())) / sum(w) for i in range(len(row))]
        means.append(mean)
        scores.append([(m - r) / sigma**2 for m, r in zip(mean, row)])
    return means, scores
""",
        "squares multiplied out, a float32 tensor of both": """
def best_denoiser(x, points, sigma):
    squares = x.square().sum(1, keepdim=True) - 2 * x @ points.T + points.square().sum(1)
    mean = (-squares / (2 * sigma**2)).softmax(1) @ points
    return torch.stack([mean, (mean - x) / sigma**2]).float()
""",
    },
}
