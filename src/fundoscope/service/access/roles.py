"""Roles: what an account may do. Each includes the one before it.

submit       send photographs and read the answers to them, by their hash: a camera, a router
read         see cases, search them, grade them oneself: a reader
administer   releases, the audit log, metrics of the service: whoever runs it
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A role, by its name."""

    submit = "submit"
    read = "read"
    administer = "administer"

    def includes(self, other: Role) -> bool:
        """Return whether what another role may do is allowed to this one."""
        order = list(Role)
        return order.index(self) >= order.index(other)


def lesser(one: Role, other: Role) -> Role:
    """Return the role that may do less."""
    return other if one.includes(other) else one
