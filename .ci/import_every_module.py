"""Imports every module of packages of ours. Third-party modules may be missing if they are named.

Usage: import_every_module.py WHERE PACKAGE[,PACKAGE…] [MODULE…]; the packages must lie in the folder WHERE.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

where, packages, *may_be_missing = sys.argv[1:]
for name in packages.split(","):
    package = importlib.import_module(name)
    origin = Path(package.__path__[0]).resolve()
    assert origin.is_relative_to(Path(where).resolve()), f"{name} comes from {origin}, not from {where}"
    modules = [module.name for module in pkgutil.walk_packages(package.__path__, f"{name}.")]
    waiting = 0
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in may_be_missing:
                raise
            waiting += 1
    print(f"{name}: {len(modules) - waiting} modules import, {waiting} need extras")
