"""The skeleton of a set that is begun from nothing: things, a collection of them, two scopes."""

from __future__ import annotations

from policyd.tooling.starting.skeleton import Action, Resource, Skeleton

_READ, _WRITE = (("read:items",),), (("write:items",),)


def example(api: str) -> Skeleton:
    """Return the skeleton of an API of this name."""
    return Skeleton(
        api=api,
        doc="What this API guards: to be described.",
        audience=f"https://example.com/{api}",
        scopes={"read:items": "Read items", "write:items": "Change items"},
        resources=(
            Resource(
                "item",
                "One item, by its identifier.",
                (),
                (
                    Action("read", (("GET", "/items/{id}"),), _READ),
                    Action("update", (("PUT", "/items/{id}"), ("PATCH", "/items/{id}")), _WRITE),
                ),
                item=True,
            ),
            Resource(
                "items",
                "All items.",
                (),
                (
                    Action("list", (("GET", "/items"),), _READ),
                    Action("create", (("POST", "/items"),), _WRITE),
                ),
                item=False,
            ),
        ),
        reason="to be described",
    )
