"""`perception certificates`: the certificates that a deployment with security asks for."""

from __future__ import annotations

import sys
from pathlib import Path

from tyro.conf import Positional

from perception.errors import InputError


def certificates(deployment: Positional[Path], host: tuple[str, ...] = ()) -> None:
    """Make or renew the certificates of a deployment's processes, signed by a private authority.

    Certificates last 825 days, and are renewed when fewer than 30 are left, or when the router's lacks a host. The
    authority stays the same, so that old and new ones understand each other. Running processes need no restart: the
    router opens again with its new certificate, the others take theirs when they next connect. Delete a certificate to
    make it again; delete all for a new authority. On a robot of several hosts, copy ca.pem to all, each NAME.pem and
    NAME.key to the host of that process, and ca.key to none.

    Args:
        deployment: YAML file with `security`.
        host: Names and addresses at which other hosts reach the router.
    """
    from perception_nodes.operations.deployment import ROUTER, read_deployment
    from perception_nodes.security.authority import make_certificates

    plan = read_deployment(deployment)
    if plan.security is None:
        raise InputError(f"{deployment}: expected the key security, found none; add security: {{certificates: FOLDER}}")
    made = make_certificates(plan.security.certificates, plan.names, server=ROUTER, hosts=host)
    for name, reason in made.items():
        print(f"{plan.security.certificates / name}.pem: {reason}", file=sys.stderr)
    if not made:
        print(f"{plan.security.certificates}: all certificates are there and good", file=sys.stderr)
