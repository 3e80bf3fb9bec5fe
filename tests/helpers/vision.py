"""torchvision; one that is built for CUDA, beside a CPU build of torch, without operators that no test needs."""

import torch
from torch.utils.data import Subset

try:
    import torchvision
except RuntimeError:
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["Part", "torchvision"]


class Part(Subset):
    """Some items of a dataset; a spawned worker imports this module before torchvision."""
