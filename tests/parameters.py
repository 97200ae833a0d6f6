"""Models with parameters that hide nothing."""

import torch


def scattered(model, scale=1.0, seed=0):
    """``model`` with every parameter drawn anew, so that no path is zero and no two are alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model.eval()
