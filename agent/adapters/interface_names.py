"""The interfaces that python-can has by name, its plugins' among them."""

from __future__ import annotations


def interface_names() -> frozenset[str]:
    """What may stand in `interface` of a bus."""
    from can.interfaces import VALID_INTERFACES  # no start need wait for it: there python-can itself finds out

    return frozenset(VALID_INTERFACES)
