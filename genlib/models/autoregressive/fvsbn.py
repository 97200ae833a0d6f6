"""The fully visible sigmoid belief network: a logistic regression for every pixel.

Sources: the chapter on autoregressive models of document H; Neal (1992), "Connectionist learning of
belief networks"; Frey (1998), "Graphical Models for Machine Learning and Digital Communication".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.models.autoregressive.base import BinaryAutoregressive, Order


class FVSBN(BinaryAutoregressive):
    """Fully visible sigmoid belief network: p(x_i = 1 | x_<i) = σ(b_i + Σ_{j<i} w_ij x_j).

    A log mass over binary vectors with n(n + 1)/2 parameters: n biases, and a weight for every pair
    of a value and one before it. Minus log p(x) is convex in them, so training has one answer,
    which the starting point (all zeros: fair coins) does not change.

    Parameters
    ----------
    dim : int
        Number of binary values, n.
    order : sequence of int, optional
        Permutation of the columns in which they are predicted; by default as they stand.

    Notes
    -----
    ``conditionals`` gives logits, shape (N, dim): p(x_i = 1 | x_<i) is their sigmoid. Sampling
    computes each logit once, when its turn comes: O(n²) an image, where a pass over the whole
    network for each value would take O(n³).

    Examples
    --------
    >>> FVSBN(dim=784).free_parameters == 784 * 785 // 2
    True
    """

    def __init__(self, dim: int = 784, order: Order | None = None) -> None:
        super().__init__(dim, order)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.lower = nn.Parameter(torch.zeros(dim * (dim - 1) // 2))
        later, earlier = self.order[torch.tril_indices(dim, dim, -1)]
        self.register_buffer("entry", later * dim + earlier, persistent=False)

    @property
    def weight(self) -> Tensor:
        """The weights w_ij of column j of ``x`` in the logit of column i, (dim, dim): zero where j
        does not come before i in the order.
        """
        dim = len(self.bias)
        return self.lower.new_zeros(dim * dim).scatter_(0, self.entry, self.lower).view(dim, dim)

    def _conditionals(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias).to(x.dtype)

    def _draw(self, u: Tensor) -> Tensor:
        order = self.order
        weight, bias, u = self.weight[order][:, order], self.bias[order], u[:, order].T.contiguous()
        x = torch.zeros_like(u)  # a row for each value, so that those before it lie side by side
        for i in range(len(bias)):
            x[i] = u[i] < (weight[i, :i] @ x[:i] + bias[i]).sigmoid()
        return x.T[:, self.rank].contiguous()
