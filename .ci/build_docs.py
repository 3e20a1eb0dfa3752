"""Builds the API pages from the docstrings: `python .ci/build_docs.py FOLDER`. Every warning is an error."""

from __future__ import annotations

import shutil
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import matplotlib.font_manager  # noqa: F401 - on a machine's first import it runs fc-list, which pdoc would forbid
import pdoc
import torch

with warnings.catch_warnings(action="ignore"):  # on import it uses a part of torch that is deprecated
    import torch_geometric.data  # noqa: F401

PACKAGES = ("perception", "perception_datasets", "perception_nodes", "perception_tools")
NEEDS = {"perception_nodes.block.over_ray": "ray"}
"""Module → a package that it imports and that [dev] does not install. Without the package it gets no page."""


def main() -> None:
    """Writes the pages into a fresh folder."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    warnings.simplefilter("error")
    left_out = [module for module, package in NEEDS.items() if find_spec(package) is None]
    for module in left_out:
        warnings.filterwarnings("ignore", f"Couldn't import {module}")
    # pdoc looks for the types of inherited dataclass fields in the subclass's module; pyright checks that they exist
    warnings.filterwarnings("ignore", r"Error parsing type annotation .+ for \S+\.__init__\. Import of")
    torch.nn.Module.__init__.__doc__ = None  # pdoc would show it at every constructor that inherits it
    pdoc.render.configure(docformat="google", search=True, show_source=True)
    pdoc.pdoc(*PACKAGES, *(f"!{module}" for module in left_out), output_directory=folder)
    pages = sum(1 for _ in folder.rglob("*.html"))
    print(f"{folder / 'index.html'}: {pages} pages" + (f", without {', '.join(left_out)}" if left_out else ""))


if __name__ == "__main__":
    main()
