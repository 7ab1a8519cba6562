"""The names that completion proposes: what one API declares, as a policy writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policyd.editor.index import Declared, Index, Kind
from policyd.editor.phrases import plain
from policyd.editor.proposals import Proposal, proposal_of, written
from policyd.language import nodes


class Names:
    """What an API declares. Fixtures are those of one file."""

    def __init__(self, index: Index, api: str, file: str) -> None:
        self.index = index
        self.api = api
        self._file = file

    def declared(self, kind: Kind, prefix: str = "") -> Iterator[Proposal]:
        """Propose all that is declared of a kind, after a prefix such as `token.`."""
        return (proposal_of(one, prefix) for one in self.index.all(self.api, kind))

    def fixtures(self) -> Iterator[Proposal]:
        """Propose the fixtures of the file."""
        found = self.index.all(self.api, Kind.FIXTURE, self._file)
        return (proposal_of(one) for one in found)

    def actions_of(self, resource: str) -> Iterator[Declared]:
        """Yield the actions of a resource that is called as a policy writes it."""
        for one in self.index.all(self.api, Kind.RESOURCE):
            symbol = one.place.symbols[0]
            if written(symbol) == resource:
                yield from self.having(symbol.name, Kind.ACTION)

    def having(self, resource: str | None, kind: Kind) -> Iterator[Declared]:
        """Yield what a resource has of a kind, by its name; `None`: what any resource has."""
        return self.index.all(self.api, kind, resource)

    def attributes(self, resource: str | None, actions: Iterable[str]) -> Iterator[Declared]:
        """Yield the attributes of a resource that all requests for some actions have."""
        asked = {plain(one) for one in actions}
        for one in self.having(resource, Kind.ATTRIBUTE):
            match one.node:
                case nodes.Field(actions=limited) if limited and not (
                    asked <= {action.text for action in limited}
                ):
                    continue
            yield one

    def actions(self, *, with_any: bool = False) -> Iterator[Proposal]:
        """Propose the actions of all resources."""
        if with_any:
            yield Proposal("any", None, "each action of the resource, also those added later")
        owners: dict[str, list[Declared]] = {}
        for declared in self.index.all(self.api, Kind.ACTION):
            owners.setdefault(written(declared.place.symbols[0]), []).append(declared)
        for name, found in owners.items():
            listed = ", ".join(one.place.symbols[0].owner for one in found)
            yield Proposal(name, Kind.ACTION, f"on {listed}", found[0].docs)

    def resources(self, actions: Sequence[str]) -> Iterator[Proposal]:
        """Propose the resources that have all these actions, or all if none has."""
        found = list(self.declared(Kind.RESOURCE))
        fitting = [
            proposal
            for proposal in found
            if set(actions) - {"any"}
            <= {written(one.place.symbols[0]) for one in self.actions_of(proposal.text)}
        ]
        return iter(fitting or found)
