from __future__ import annotations

import subprocess
import sys

import pytest

from perception.errors import InputError
from perception_nodes.block.limits import RequestLimits


@pytest.mark.parametrize("name", ["max_bytes", "max_tokens", "max_memory_mb", "max_gflop"])
def test_a_limit_that_would_refuse_everything_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: expected at least 1, got 0"):
        RequestLimits(**{name: 0})
    assert getattr(RequestLimits(**{name: 1}), name) == 1


def test_importing_the_limits_does_not_import_torch() -> None:
    code = "import sys, perception_nodes.block.limits; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
