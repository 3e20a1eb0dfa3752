"""JSON files that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perception.files import whole_file


def write_json(path: Path, values: Any) -> None:
    """Writes a file that is whole or the former one; makes its folder."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n")
