from __future__ import annotations

import platform
from importlib.metadata import version

from perception_tools import machine


def test_the_machine_is_described_with_the_versions_that_run():
    found = machine.describe_machine()
    assert found["torch"] == version("torch")
    assert found["python"] == platform.python_version()
    assert "cores" in found["processor"]


def test_a_package_that_is_not_installed_is_said_to_be(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("no-such-package",))
    assert machine.describe_machine()["no-such-package"] == "not installed"
