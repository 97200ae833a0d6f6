"""Answers to the exercises of lesson 12, written as tools/coursework/answers.py says."""

WRONG = {
    "step": {
        "the gradient's sign": ("z + (x - z @ atoms)", "z - (x - z @ atoms)"),
        "the threshold is not divided by L": ("u.abs() - lam / L", "u.abs() - lam"),
        "the gradient is not divided by L": ("@ atoms.T / L\n", "@ atoms.T\n"),
        "the largest singular value, not its square": (
            "torch.linalg.eigvalsh(atoms @ atoms.T)[-1]",
            "torch.linalg.matrix_norm(atoms, 2)",
        ),
        "the smallest eigenvalue": ("atoms @ atoms.T)[-1]", "atoms.T @ atoms)[0]"),
        "a hard threshold": (
            "u.sign() * (u.abs() - lam / L).clamp_min(0)",
            "u * (u.abs() > lam / L)",
        ),
        "negative coefficients are cut off": ("u.sign() * (u.abs()", "(u"),
        "from zero, not from z": ("z + (x - z @ atoms) @ atoms.T", "x @ atoms.T"),
    },
    "gap": {
        "s is not at most 1": ("largest.clamp_min(lam)", "largest"),
        "one s for all rows": (
            "(r @ atoms.T).abs().amax(1, keepdim=True)",
            "(r @ atoms.T).abs().amax()",
        ),
        "the residual is not shrunk": ("(x - s * r)", "(x - r)"),
        "the correlations without their absolute value": (".abs().amax(1", ".amax(1"),
        "the bound without its first half": ("0.5 * x.square().sum(1) - 0.5", "-0.5"),
        "the penalty is forgotten": (" + lam * z.abs().sum(1)", ""),
        "the distance from the residual, not from x": ("(x - s * r)", "(r - s * r)"),
    },
    "pursuit": {
        "as it was given": "pursuit = faulty_pursuit",
        "the largest match, with its sign": (".abs() / lengths", " / lengths"),
        "the lengths are not divided out": (".abs() / lengths", ".abs()"),
        "only the new coefficient is fitted": (
            "z[n, taken] = torch.linalg.lstsq(chosen.T, x[n]).solution",
            "k = taken[-1]; z[n, k] = atoms[k] @ (x[n] - z[n] @ atoms) / lengths[k] ** 2",
        ),
        "divided by the squares of the lengths": ("/ lengths", "/ lengths**2"),
        "the atoms that fit x best, all at once": ("x[n] - z[n] @ atoms)", "x[n])"),
    },
    "found": {
        "found where the row is reproduced": (
            "((found != 0) == (z != 0)).all(1)",
            "(((found - z) @ atoms).abs() < 1e-6).all(1)",
        ),
        "a row is found by one true atom": (
            "((found != 0) == (z != 0)).all(1)",
            "((found != 0) & (z != 0)).any(1)",
        ),
        "the fraction of atoms, not of rows": (
            "((found != 0) == (z != 0)).all(1).double().mean()",
            "((found != 0) & (z != 0)).double().sum() / (z != 0).sum()",
        ),
        "the fraction of zeros and others that agree": (".all(1).double()", ".double()"),
    },
    "sweep": {
        "every atom is given length 1": (".clamp_min(1)", ""),
        "no atom is shortened": ("best / best.norm().clamp_min(1)", "best"),
        "entries are clipped, not the length": (
            "best / best.norm().clamp_min(1)",
            "best.clamp(-1, 1)",
        ),
        "all atoms from the old ones": [
            ("atoms = atoms.clone()", "old, atoms = atoms, atoms.clone()"),
            ("z @ atoms + z[:, k, None] * atoms[k]", "z @ old + z[:, k, None] * old[k]"),
        ],
        "the residual of all atoms, not of the others": (
            " + z[:, k, None] * atoms[k]",
            "",
        ),
        "not divided by the size of the coefficients": ("@ rest / size", "@ rest"),
        "unused atoms become zero": (
            "        if size > 0:",
            "        atoms[k] *= size > 0\n        if size > 0:",
        ),
    },
}

RIGHT = {
    "step": {
        "NumPy, and the singular values": """
def shrink_step(z, x, atoms, lam):
    import numpy as np

    z, x, atoms = (np.asarray(each) for each in (z, x, atoms))
    L = np.linalg.svd(atoms, compute_uv=False)[0] ** 2
    u = z - (z @ atoms - x) @ atoms.T / L
    return np.where(u > lam / L, u - lam / L, np.where(u < -lam / L, u + lam / L, 0.0))
""",
        "row by row, a list returned": """
def shrink_step(z, x, atoms, lam):
    L = torch.linalg.eigvalsh(atoms.T @ atoms).max().item()
    new = []
    for code, row in zip(z, x):
        u = code + atoms @ (row - code @ atoms) / L
        new.append([max(v - lam / L, 0.0) + min(v + lam / L, 0.0) for v in u.tolist()])
    return new
""",
    },
    "gap": {
        "as a sum of terms that are not negative": """
def left(x, z, atoms, lam):
    r = x - z @ atoms
    c = r @ atoms.T
    s = (lam / c.abs().amax(1).clamp_min(1e-300)).clamp_max(1)
    return 0.5 * (1 - s) ** 2 * (r * r).sum(1) + lam * z.abs().sum(1) - s * (z * c).sum(1)
""",
        "a loop over the rows, floats": """
def left(x, z, atoms, lam):
    gaps = []
    for row, code in zip(x, z):
        r = row - code @ atoms
        most = (atoms @ r).abs().max().item()
        theta = r if most <= lam else r * (lam / most)
        f = 0.5 * (r @ r) + lam * code.abs().sum()
        gaps.append((f - 0.5 * (row @ row) + 0.5 * ((row - theta) @ (row - theta))).item())
    return gaps
""",
    },
    "pursuit": {
        "all rows at once, by normal equations": """
def pursuit(x, atoms, nonzeros):
    unit = atoms / atoms.norm(dim=1, keepdim=True)
    taken = torch.zeros(len(x), 0, dtype=torch.int64)
    z = torch.zeros(len(x), len(atoms), dtype=x.dtype)
    for _ in range(nonzeros):
        match = ((x - z @ unit) @ unit.T).abs().scatter(1, taken, -1.0)
        taken = torch.cat([taken, match.argmax(1, keepdim=True)], 1)
        chosen = unit[taken]
        values = torch.linalg.solve(chosen @ chosen.mT, chosen @ x[:, :, None])[..., 0]
        z = torch.zeros_like(z).scatter(1, taken, values)
    return z / atoms.norm(dim=1)
""",
        "NumPy, by the error that is left": """
def pursuit(x, atoms, nonzeros):
    import numpy as np

    x, atoms = np.asarray(x), np.asarray(atoms)
    z = np.zeros((len(x), len(atoms)))
    for n, row in enumerate(x):
        taken, r = [], row
        for _ in range(nonzeros):
            errors = [
                np.inf if k in taken else r @ r - (a @ r) ** 2 / (a @ a)
                for k, a in enumerate(atoms)
            ]
            taken.append(int(np.argmin(errors)))
            values = np.linalg.lstsq(atoms[taken].T, row, rcond=None)[0]
            r = row - values @ atoms[taken]
        z[n, taken] = values
    return z.tolist()
""",
    },
    "found": {
        "row by row, as sets": """
def fraction_found(search, z, atoms):
    hits = 0
    for code in z:
        s = int(code.count_nonzero())
        found = search(code[None] @ atoms, atoms, s)[0]
        hits += set(found.nonzero().flatten().tolist()) == set(code.nonzero().flatten().tolist())
    return hits / len(z)
""",
        "NumPy, from the places": """
def fraction_found(search, z, atoms):
    import numpy as np

    s = np.count_nonzero(np.asarray(z)[0])
    found = np.asarray(search(z @ atoms, atoms, s))
    return np.mean([np.array_equal(a != 0, b != 0) for a, b in zip(found, np.asarray(z))])
""",
    },
    "sweep": {
        "through the averages of the lesson": """
def sweep(atoms, x, z):
    S, B = z.T @ z, z.T @ x
    new = [row for row in atoms]
    for k in range(len(new)):
        if S[k, k] > 0:
            best = new[k] + (B[k] - S[k] @ torch.stack(new)) / S[k, k]
            new[k] = best if best.norm() <= 1 else best / best.norm()
    return new
""",
        "NumPy, a row of the residual at a time": """
def sweep(atoms, x, z):
    import numpy as np

    atoms, x, z = np.array(atoms), np.asarray(x), np.asarray(z)
    for k in range(len(atoms)):
        total, size = np.zeros(x.shape[1]), 0.0
        for row, code in zip(x, z):
            rest = row - sum(code[j] * atoms[j] for j in range(len(atoms)) if j != k)
            total, size = total + code[k] * rest, size + code[k] ** 2
        if size > 0:
            total = total / size
            atoms[k] = total / max(1.0, float(np.sqrt(total @ total)))
    return atoms.tolist()
""",
    },
}
