"""`perception export RUN OUT.onnx`: a trained model as one checked file for other runtimes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def export(
    run: Annotated[Positional[Path], arg(metavar="RUN")],
    out: Annotated[Positional[Path], arg(metavar="OUT.onnx")],
    precision: Literal["float32", "bf16", "fp16", "int8", "int4", "auto"] = "float32",
    budget: str | None = None,
    check: bool = True,
    data: Path | None = None,
    split: str = "val",
    limit: int | None = 100,
) -> dict | int:
    """Writes a trained model as an ONNX file, in standard operators, with its block in the folded form.

    The block's weights go into a second file beside it, block-HASH.weights, which is the same for all models around the
    same block in the same precision; processes that map it share its memory. What the model must be given, in which
    units and frames, is in the file's metadata. Needs the extra [export].

    Args:
        run: A run's folder, or its model.safetensors.
        out: The file to write.
        precision: Precision of the block's weights. bf16 and fp16 halve the file; int8 also scales activations in
            every call; int4 has a scale for each 32 weights. auto tries all of them on --data, prints what each costs,
            and takes the fastest that is within --budget; the file's metadata keeps the table.
        budget: For auto: by how much one of the task's numbers may become worse, such as minFDE=+1% or top1=-0.005.
        check: Compare the file's answers with the model's, for batches of several sizes and the borders of what can
            come; where they differ, nothing is written and the exit status is 1.
        data: A data set folder, as for `perception evaluate`: compare the task's numbers too.
        split: Which split of it.
        limit: Measure on this many of the first records only.
    """
    from perception_tools.export.parity import ParityError
    from perception_tools.export.run import export_run
    from perception_tools.model_metadata import MODEL_FILE
    from perception_tools.output_places import keep_apart

    keep_apart([out], [run / MODEL_FILE if run.is_dir() else run, *([] if data is None else [data])])
    try:
        summary = export_run(run, out, precision, budget=budget, check=check, data=data, split=split, limit=limit)
    except ParityError as error:
        print(f"perception export: {error}", file=sys.stderr)
        return 1
    for line in summary.get("precisions", []):
        print(line)
    for name, size in summary["files"].items():
        print(f"{out.parent / name}  {size / 1e6:.1f} MB")
    if check:
        print(f"parity: at most {max(of['relative'] for of in summary['parity']):.1e} of an output's size, over")
        for of in summary["parity"]:
            print(f"  {of['case']}, {of['output']}: {of['relative']:.1e} (at most {of['largest']:.3g})")
    for name, numbers in summary.get("metrics", {}).items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in numbers.items()))
    return summary
