"""The best tree: mutual information of pairs, and Chow and Liu's maximum spanning tree of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genlib.core.discrete import state_space
from genlib.core.rows import VALUES_AT_ONCE
from genlib.core.validation import check_event, check_tensor
from genlib.models.graphical.tables import check_states


def mutual_information(x: Tensor, states: int | Sequence[int] = 2) -> Tensor:
    """Mutual information of every pair of columns of ``x`` under the shares of its rows.

    I(i, j) = Σ p(x_i, x_j) log p(x_i, x_j) / (p(x_i) p(x_j)), in nats; the diagonal holds the
    entropies.

    Parameters
    ----------
    x : Tensor, shape (N, n)
    states : int or sequence of int

    Returns
    -------
    Tensor, shape (n, n), float64
    """
    check_tensor(x)
    if x.dim() != 2:
        raise ValueError(f"x: expected a matrix of shape (N, n), got {tuple(x.shape)}.")
    sizes = check_states([states] * x.shape[1] if isinstance(states, int) else states)
    check_event(x, torch.Size([len(sizes)]), state_space(sizes), dtype=x.dtype, device=x.device)
    owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(x.device)
    state = torch.cat([torch.arange(s) for s in sizes]).to(x)
    # Counts of up to 2²⁴ rows are exact in float32, where the product is fastest.
    pairs = torch.zeros(len(state), len(state), dtype=torch.float64, device=x.device)
    for part in x.split(max(1, VALUES_AT_ONCE // len(state))):
        indicator = (part[:, owner] == state).float()
        pairs += indicator.T @ indicator
    joint = pairs / len(x)
    single = joint.diagonal()
    terms = torch.special.xlogy(joint, joint / (single[:, None] * single).clamp_min(1e-300))
    by_row = torch.zeros(len(sizes), len(state), dtype=torch.float64, device=x.device)
    by_row.index_add_(0, owner, terms)
    return torch.zeros(len(sizes), len(sizes)).to(by_row).index_add_(1, owner, by_row)


def chow_liu(x: Tensor, states: int | Sequence[int] = 2, root: int = 0) -> list[list[int]]:
    """Parents in the tree that, among all trees, makes the rows of ``x`` most likely.

    A tree's maximised log-likelihood is the sum of the mutual informations along its edges, less
    the entropies of the single variables, which no choice of edges changes. So the best tree is the
    maximum spanning tree (Chow and Liu, 1968).

    Parameters
    ----------
    x : Tensor, shape (N, n)
    states : int or sequence of int
    root : int
        The variable without a parent; every choice gives the same density.

    Returns
    -------
    list of lists of int
        For `BayesNet`.
    """
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    information = mutual_information(x, states)
    if not isinstance(root, int) or isinstance(root, bool) or root not in range(len(information)):
        raise ValueError(f"root: expected a column in 0 … {len(information) - 1}, got {root!r}.")
    # SciPy reads zero as "no edge"; shifting all weights alike does not change the best tree.
    weights = -(information.clamp_min(0) + 1).fill_diagonal_(0)
    tree = minimum_spanning_tree(weights.cpu().numpy())
    _, before = breadth_first_order(tree, root, directed=False)
    return [[] if i == root else [int(parent)] for i, parent in enumerate(before)]
