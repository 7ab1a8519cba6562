"""What can be wrong with a request, said so that its author can mend it.

All of it is the caller's mistake: `InvalidRequest`. Names of the policy are suggested only to
callers whose token is valid, which is why an unknown API gets no suggestion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from policyd.decision.errors import InvalidRequest, shown
from policyd.decision.model import BatchItem, Request
from policyd.diagnostics.suggest import closest
from policyd.language.policy import Attribute
from policyd.program.fields import FieldFault
from policyd.program.index import ApiProgram, ResourceProgram
from policyd.program.values import ILL_TYPED, read_string
from policyd.tokens.model import Json, VerifiedToken

Item = Request | BatchItem

#: How many of the names given are compared: a message holds very many, and comparing takes time.
_COMPARED: Final = 200


def unknown_api(name: str) -> InvalidRequest:
    return InvalidRequest("api", f"no API has the name or audience {shown(name)}", "UNKNOWN_API")


def unknown_plan(api: ApiProgram, item: Item, token: VerifiedToken) -> InvalidRequest:
    """Say which of action and resource type is unknown, or that they do not go together."""
    resource = api.resources.get(item.resource_type)
    if resource is not None:
        return _unknown_action(item.action, f" on `{item.resource_type}`", resource.plans, token)
    actions = {action for each in api.resources.values() for action in each.plans}
    if item.action not in actions:
        return _unknown_action(item.action, "", actions, token)
    description = f"`{api.api.name}` declares no resource type {shown(item.resource_type)}"
    suggestion = closest(item.resource_type, api.resources)
    return InvalidRequest("resource.type", description, "UNKNOWN_RESOURCE_TYPE", suggestion, token)


def _unknown_action(
    action: str, where: str, known: Iterable[str], token: VerifiedToken
) -> InvalidRequest:
    description = f"no action {shown(action)} is declared{where}"
    return InvalidRequest("action", description, "UNKNOWN_ACTION", closest(action, known), token)


def check_text(resource_id: str, token: VerifiedToken) -> None:
    """Refuse a resource's id that is no text: it holds half of a surrogate pair."""
    if read_string(resource_id) is ILL_TYPED:
        raise InvalidRequest("resource.id", "is no text", "RESOURCE_ID_INVALID", None, token)


def attribute_fault(
    fault: FieldFault, resource: ResourceProgram, given: Mapping[str, Json], token: VerifiedToken
) -> InvalidRequest:
    """Say what is wrong with an attribute."""
    return _field(fault, "resource.properties", "ATTRIBUTE", resource.type.attributes, given, token)


def context_fault(
    fault: FieldFault, api: ApiProgram, given: Mapping[str, Json], token: VerifiedToken
) -> InvalidRequest:
    """Say what is wrong with the context."""
    return _field(fault, "context", "CONTEXT", api.api.context, given, token)


def _field(
    fault: FieldFault,
    holder: str,
    kind: str,
    declared: tuple[Attribute, ...],
    given: Mapping[str, Json],
    token: VerifiedToken,
) -> InvalidRequest:
    """Say what is wrong with an attribute or entry; one that was misspelt is named."""
    fact = fault.fact
    suggestion = None
    if fault.fault == "INVALID":
        description = f"is not of the declared type {fact.type}"
    else:
        description = "is required, and absent"
        known = {attribute.fact.name for attribute in declared}
        undeclared = (name for name in given if name not in known)
        meant = closest(fact.name, islice(undeclared, _COMPARED))
        if meant is not None:
            description += f"; {shown(meant)} is not declared"
            suggestion = fact.name
    code = f"{kind}_{fault.fault}"
    return InvalidRequest(f"{holder}.{fact.name}", description, code, suggestion, token)
