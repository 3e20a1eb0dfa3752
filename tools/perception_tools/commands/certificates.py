"""`perception certificates`: the certificates that a deployment with security asks for."""

from __future__ import annotations

import sys
from pathlib import Path

from tyro.conf import Positional

from perception.errors import InputError


def certificates(deployment: Positional[Path], host: tuple[str, ...] = ()) -> None:
    """Make a certificate for every process of a deployment that has none, signed by an authority of your own.

    Certificates last 825 days. Delete one to have it made again; delete all to begin with a new authority. On a robot
    of several hosts, copy ca.pem everywhere and each NAME.pem and NAME.key to its host alone; ca.key stays with you.

    Args:
        deployment: YAML file with `security`.
        host: Names and addresses that other hosts find the router at.
    """
    from perception_nodes.operations.deployment import ROUTER, read_deployment
    from perception_nodes.security.authority import make_certificates

    plan = read_deployment(deployment)
    if plan.security is None:
        raise InputError(f"{deployment}: expected the key security, found none; add security: {{certificates: FOLDER}}")
    made = make_certificates(plan.security.certificates, plan.names, server=ROUTER, hosts=host)
    print(f"{plan.security.certificates}: made {', '.join(made) or 'none, all were there'}", file=sys.stderr)
