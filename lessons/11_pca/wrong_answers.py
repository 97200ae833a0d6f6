"""Answers to the exercises of lesson 11, written as tools/coursework/answers.py says."""

WRONG = {
    "components": {
        "squared singular values, not divided": ("s.square() / len(x)", "s.square()"),
        "divided by N − 1": ("s.square() / len(x)", "s.square() / (len(x) - 1)"),
        "not centred": ("x - x.mean(0)", "x"),
        "singular values for eigenvalues": ("s.square() / len(x)", "s / len(x) ** 0.5"),
        "the error summed over rows": ("values[k:].sum()", "values[k:].sum() * len(x)"),
        "the error averaged over columns too": (
            "values[k:].sum()",
            "values[k:].sum() / x.shape[1]",
        ),
        "what is kept, not what is dropped": ("values[k:].sum()", "values[:k].sum()"),
        "one component too few": ("values[k:].sum()", "values[k - 1 :].sum()"),
        "from the covariance, which squares": (
            "s = torch.linalg.svdvals(x - x.mean(0))",
            "s = torch.linalg.eigvalsh(torch.cov(x.T, correction=0) * len(x))"
            ".flip(0).clamp_min(0).sqrt()",
        ),
        "from the products of few rows, which square too": (
            "s = torch.linalg.svdvals(x - x.mean(0))",
            "x = x - x.mean(0)\n"
            "    s = torch.linalg.svdvals(x)\n"
            "    if len(x) < x.shape[1]:\n"
            "        s = torch.linalg.eigvalsh(x @ x.T).flip(0).clamp_min(0).sqrt()",
        ),
        "the error as a difference of large numbers": (
            "values[k:].sum()",
            "values.sum() - values[:k].sum()",
        ),
        "the eigenvalues alone": ("return values[:k], values[k:].sum()", "return float(values[0])"),
    },
    "weighted": {
        "scaled by the weights": ("weights.sqrt()", "weights"),
        "scaled the wrong way": ("weights.sqrt()", "1 / weights.sqrt()"),
        "without the weights": ("scale = weights.sqrt()", "scale = torch.ones_like(weights)"),
        "left in the scaled units": ("(z @ Ut[:k]) / scale", "z @ Ut[:k]"),
        "the codes of the unscaled rows": ("z = scaled @", "z = (x - mean) @"),
        "the mean is not subtracted": ("(x - mean) * scale", "x * scale"),
        "the mean is not added": ("return mean + ", "return "),
        "rows of the wrong matrix": ("scaled @ Ut[:k].T", "scaled @ Ut[:, :k]"),
    },
    "angles": {
        "as it was given": "angles = faulty_angles",
        "columns of length 1, not orthonormal": [
            ("torch.linalg.qr(A).Q", "A / A.norm(dim=0)"),
            ("torch.linalg.qr(B).Q", "B / B.norm(dim=0)"),
        ],
        "arc cosines of more than 1": ("torch.atan2(sines, cosines)", "cosines.acos()"),
        "largest first": (
            "torch.atan2(sines, cosines)",
            "torch.atan2(sines, cosines).flip(0)",
        ),
        "in degrees": (
            "torch.atan2(sines, cosines)",
            "torch.atan2(sines, cosines).rad2deg()",
        ),
        "cosines for angles": ("torch.atan2(sines, cosines)", "cosines"),
        "sines paired with the wrong cosines": (".flip(0)\n", "\n"),
        "sines from the complement, which may be too small": """
def angles(A, B):
    complement = torch.linalg.qr(A, mode="complete").Q[:, A.shape[1] :]
    sines = torch.linalg.svdvals(complement.T @ torch.linalg.qr(B).Q)
    return sines.clamp(max=1).asin().flip(0)
""",
        "tangents, by an inverse that need not exist": """
def angles(A, B):
    A, B = torch.linalg.qr(A).Q, torch.linalg.qr(B).Q
    M = A.T @ B
    return torch.linalg.svdvals((B - A @ M) @ torch.linalg.inv(M)).atan().flip(0)
""",
        "eigenvalues for singular values": (
            "return torch.atan2(sines, cosines)",
            "return torch.linalg.eigvals(A.T @ B).abs().clamp(max=1).acos().sort().values",
        ),
    },
    "held_out": {
        "the training rows": ("((valid - mean) @ U)", "((train - mean) @ U)"),
        "the mean of the held-out rows": ("((valid - mean) @ U)", "((valid - valid.mean(0)) @ U)"),
        "the sum over rows": ("torch.stack(found)", "torch.stack(found) * len(valid)"),
        "the dropped eigenvalues summed": ("values[k:].mean()", "values[k:].sum()"),
        "the dropped eigenvalues left as they are": (
            "variances[k:] = values[k:].mean()",
            "variances[k:] = values[k:]",
        ),
        "the kept eigenvalues averaged": (
            "variances[k:] = values[k:].mean()",
            "variances[k:] = values[:k].mean()",
        ),
        "smallest eigenvalues kept": (
            "values, U = values.flip(0), U.flip(1)",
            "values, U = values, U",
        ),
        "divided by N − 1": ("/ len(train)", "/ (len(train) - 1)"),
        "without the determinant": (" + variances.log()", ""),
        "without the constant": (" + math.log(2 * math.pi)", ""),
        "the logarithm of an underflowed product": (
            "found.append(-0.5 * terms.sum())",
            "terms = squares / variances + math.log(2 * math.pi)\n"
            "        found.append(-0.5 * (terms.sum() + variances.prod().log()))",
        ),
        "a determinant kept from zero": (
            "found.append(-0.5 * terms.sum())",
            "terms = squares / variances + math.log(2 * math.pi)\n"
            "        found.append(-0.5 * (terms.sum() + variances.prod().clamp(1e-300).log()))",
        ),
        "mean of squares less the square of the mean": (
            "(train - mean).T @ (train - mean) / len(train)",
            "train.T @ train / len(train) - torch.outer(mean, mean)",
        ),
        "the list of counts sorted in place": (
            "    found = []",
            "    counts.sort()\n    found = []",
        ),
        "the list of counts used up": (
            "    for k in counts:\n",
            "    while counts:\n        k = counts.pop(0)\n",
        ),
        "eigenvalues overwritten between counts": (
            "variances = values.clone()",
            "variances = values",
        ),
        "a small number added to the variances": (
            "variances[k:] = values[k:].mean()",
            "variances[k:] = values[k:].mean()\n        variances = variances + 1e-12",
        ),
    },
}

RIGHT = {
    "components": {
        "NumPy, a loop, the error from reconstructions": """
def components(x, k):
    import numpy as np

    rows = np.array(x, dtype=float)
    mean = rows.mean(axis=0)
    _, s, right = np.linalg.svd(rows - mean, full_matrices=False)
    error = 0.0
    for row in rows:
        code = right[:k] @ (row - mean)
        error += np.sum((row - mean - code @ right[:k]) ** 2)
    return s[:k] ** 2 / len(rows), error / len(rows)
""",
        "QR first, lists of floats": """
def components(x, k):
    factor = torch.linalg.qr((x - x.mean(0)).T if x.shape[0] < x.shape[1] else x - x.mean(0)).R
    lengths = torch.linalg.svdvals(factor).tolist()
    values = [length**2 / len(x) for length in lengths]
    return values[:k], sum(values[k:])
""",
        "results in float32": """
def components(x, k):
    lengths = torch.linalg.svdvals(x - x.mean(0)).tolist()
    values = [length**2 / len(x) for length in lengths]
    return torch.tensor(values[:k]), torch.tensor(sum(values[k:]))
""",
    },
    "weighted": {
        "an oblique projection from the covariance, in NumPy": """
def weighted_reconstruction(x, weights, k):
    import numpy as np

    rows, root = np.asarray(x), np.sqrt(np.asarray(weights))
    mean = rows.mean(0)
    S = np.cov((rows * root).T, bias=True)
    _, vectors = np.linalg.eigh(S)
    U = vectors[:, -k:]
    oblique = (root[:, None] * U) @ (U.T / root)
    return mean + (rows - mean) @ oblique
""",
        "row by row, by least squares, as lists": """
def weighted_reconstruction(x, weights, k):
    root, mean = weights.sqrt(), x.mean(0)
    _, _, Ut = torch.linalg.svd((x - mean) * root, full_matrices=False)
    A = (Ut[:k] / root).T
    out = []
    for row in x:
        z = torch.linalg.lstsq(A * root[:, None], ((row - mean) * root)[:, None]).solution
        out.append((mean + (A @ z)[:, 0]).tolist())
    return out
""",
    },
    "angles": {
        "arc cosines, clamped": """
def angles(A, B):
    A, B = (torch.linalg.svd(each, full_matrices=False)[0] for each in (A, B))
    return torch.linalg.svdvals(A.T @ B).clamp(max=1).acos()
""",
        "SciPy's, turned round": """
def angles(A, B):
    from scipy.linalg import subspace_angles

    return subspace_angles(A.numpy(), B.numpy())[::-1].copy()
""",
        "from the difference of projections, a list": """
def angles(A, B):
    import numpy as np

    A, B = (np.linalg.qr(np.asarray(each))[0] for each in (A, B))
    sines = np.sort(np.linalg.svd(B - A @ (A.T @ B), compute_uv=False))
    cosines = np.linalg.svd(A.T @ B, compute_uv=False)
    small = np.arcsin(np.clip(sines, 0, 1))
    large = np.arccos(np.clip(cosines, -1, 1))
    return [float(s if s < 0.7 else c) for s, c in zip(small, large)]
""",
        "bases by Cholesky factors": """
def angles(A, B):
    bases = []
    for each in (A, B):
        L = torch.linalg.cholesky(each.T @ each)
        bases.append(torch.linalg.solve_triangular(L, each.T, upper=False))
    return torch.linalg.svdvals(bases[0] @ bases[1].T).clamp(max=1).acos()
""",
        "eigenvalues of a product of projections": """
def angles(A, B):
    import numpy as np

    k, A, B = A.shape[1], A.numpy(), B.numpy()
    P, R = (M @ np.linalg.inv(M.T @ M) @ M.T for M in (A, B))
    squares = np.sort(np.linalg.eigvals(P @ R).real)[-k:]
    return np.sort(np.arccos(np.sqrt(np.clip(squares, 0, 1))))
""",
        "singular values of a product of projections": """
def angles(A, B):
    P, R = (M @ torch.linalg.pinv(M) for M in (A, B))
    return torch.linalg.svdvals(P @ R)[: A.shape[1]].clamp(max=1).acos().float()
""",
    },
    "held_out": {
        "dense Gaussians": """
def held_out(train, valid, counts):
    n, found = train.shape[1], []
    values, U = torch.linalg.eigh(torch.cov(train.T, correction=0))
    for k in counts:
        noise = values[: n - k].mean()
        W = U[:, n - k :] * (values[n - k :] - noise).sqrt()
        S = W @ W.T + noise * torch.eye(n).double()
        gaussian = torch.distributions.MultivariateNormal(train.mean(0), S)
        found.append(gaussian.log_prob(valid).mean().item())
    return found
""",
        "NumPy, from the singular values": """
def held_out(train, valid, counts):
    import numpy as np

    train, valid = np.asarray(train), np.asarray(valid)
    mean, n = train.mean(0), train.shape[1]
    _, s, right = np.linalg.svd(train - mean, full_matrices=False)
    values, codes = s**2 / len(train), (valid - mean) @ right.T
    out = np.zeros(len(counts))
    for place, k in enumerate(counts):
        v = np.concatenate([values[:k], np.full(n - k, values[k:].mean())])
        rows = (codes**2 / v + np.log(2 * np.pi * v)).sum(1)
        out[place] = -rows.mean() / 2
    return out
""",
        "a float32 buffer filled": """
def held_out(train, valid, counts):
    found = torch.zeros(len(counts))
    values, U = torch.linalg.eigh(torch.cov(train.T, correction=0))
    codes = (valid - train.mean(0)) @ U
    for place, k in enumerate(counts):
        variances = values.clone()
        variances[: len(values) - k] = values[: len(values) - k].mean()
        rows = codes**2 / variances + torch.log(2 * math.pi * variances)
        found[place] = -0.5 * rows.sum(1).mean()
    return found
""",
    },
}
