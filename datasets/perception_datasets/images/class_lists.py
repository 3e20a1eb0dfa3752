"""The classes of ImageNet's sets, and the logits of ImageNet-1k that those of a subset are.

A model of 1,000 classes is evaluated on ImageNet-A or ImageNet-R by its logits of that set's classes alone,
`logits[:, class_indices("imagenet_a")]`. Their order is alphabetical, as are the labels of a folder of that set.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64

ClassList = Literal["imagenet1k", "imagenet_a", "imagenet_r", "imagenet_s50", "imagenet_s300", "imagenet_s919"]


@cache
def read_class_list(name: ClassList) -> tuple[str, ...]:
    """Returns the WordNet ids of a set in the order of its labels; see `lists/README.md` for their sources."""
    text = files("perception_datasets.images").joinpath("lists", f"{name}_wnids.txt").read_text("utf-8")
    return tuple(text.split())


def class_indices(name: ClassList) -> Int64[np.ndarray, " classes"]:
    """Returns the label in ImageNet-1k of each class of a set."""
    label_of = {wnid: label for label, wnid in enumerate(read_class_list("imagenet1k"))}
    return np.array([label_of[wnid] for wnid in read_class_list(name)])


def class_mask(name: ClassList) -> Bool[np.ndarray, " classes"]:
    """Returns whether each class of ImageNet-1k is in a set."""
    mask = np.zeros(len(read_class_list("imagenet1k")), dtype=bool)
    mask[class_indices(name)] = True
    return mask
