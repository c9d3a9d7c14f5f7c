"""Functions of torch that torch.vmap would compute batch by batch, in steps that it computes for all batches at once (torch)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kl_div(x: Tensor, y: Tensor, *, reduction: str, log_target: bool) -> Tensor:
    """`torch.nn.functional.kl_div` without a reduction."""
    return torch.exp(y) * (y - x) if log_target else torch.xlogy(y, y) - y * x


def quantile(x: Tensor, *, q: float, dim: int | None, keepdim: bool, interpolation: str) -> Tensor:
    """`torch.quantile`: the same sort, rank and interpolation, so the same bits."""
    along = 0 if dim is None else dim
    rows = x.reshape(-1) if dim is None else x
    if not rows.dim():
        return rows
    ordered, last = torch.sort(rows, dim=along).values, rows.shape[along] - 1
    rank = float(torch.tensor(q, dtype=x.dtype) * last)
    below, above = ordered.select(along, math.floor(rank)), ordered.select(along, math.ceil(rank))
    match interpolation:
        case "lower":
            value = below
        case "higher":
            value = above
        case "nearest":
            value = ordered.select(along, round(rank))
        case "midpoint":
            value = torch.lerp(below, above, 0.5)
        case _:
            value = torch.lerp(below, above, rank - math.floor(rank))
    highest = ordered.select(along, last)  # NaN comes last, and makes the quantile NaN
    value = torch.where(torch.isnan(highest), highest, value)
    if not keepdim:
        return value
    return value.reshape([1] * x.dim()) if dim is None else value.unsqueeze(dim)
