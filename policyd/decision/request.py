"""Errors of requests, described so that the caller can correct them.

All of them are the caller's mistake: `InvalidRequest`. Only callers with a valid token get
suggestions of the policy's names, so an unknown API gets none, and only as long as the call's
`Effort` lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from policyd.decision.effort import Effort
from policyd.decision.errors import InvalidRequest, quoted
from policyd.decision.model import BatchItem, Request
from policyd.json_types import Json
from policyd.language.policy import Attribute
from policyd.language.types import Fact, Type
from policyd.program.fields import FieldFault
from policyd.program.index import ApiProgram, ResourceProgram
from policyd.program.values import ILL_TYPED, MAX_INT, json_at, read_string
from policyd.tokens.model import VerifiedToken

Item = Request | BatchItem

#: How many of the names given are compared: a message holds very many, and comparing takes time.
_COMPARED: Final = 200
_NOT_COMPARED: Final = "; names like it were not looked for: the call's budget for that is spent"


def unknown_api(name: str) -> InvalidRequest:
    said = f"no API has the name or audience {quoted(name)}"
    if not name:
        said = "the request names no API, and the configuration has no `default_api`"
    return InvalidRequest("api", said, "UNKNOWN_API")


def another_subject(token: VerifiedToken) -> InvalidRequest:
    """Say that the caller takes the token for somebody else's; not for whose."""
    description = "is not the subject of the access token"
    return InvalidRequest("subject.id", description, "SUBJECT_MISMATCH", None, token)


def unknown_plan(
    api: ApiProgram, item: Item, token: VerifiedToken, effort: Effort
) -> InvalidRequest:
    """Say which of action and resource type is unknown, or that they do not go together."""
    resource = api.resources.get(item.resource_type)
    if resource is not None:
        where = f" on `{item.resource_type}`"
        return _unknown_action(item.action, where, resource.plans, token, effort)
    if item.action not in api.actions:
        return _unknown_action(item.action, "", api.actions, token, effort)
    description = f"`{api.api.name}` declares no resource type {quoted(item.resource_type)}"
    suggestion = effort.closest(item.resource_type, api.resources, "resource types")
    return _unknown(
        "resource.type", description, "UNKNOWN_RESOURCE_TYPE", suggestion, token, effort
    )


def _unknown_action(
    action: str, where: str, known: Iterable[str], token: VerifiedToken, effort: Effort
) -> InvalidRequest:
    description = f"no action {quoted(action)} is declared{where}"
    suggestion = effort.closest(action, known, f"actions{where}")
    return _unknown("action", description, "UNKNOWN_ACTION", suggestion, token, effort)


def _unknown(
    field: str,
    description: str,
    code: str,
    suggestion: str | None,
    token: VerifiedToken,
    effort: Effort,
) -> InvalidRequest:
    """Say what is unknown, and where that is so why no name is suggested."""
    if suggestion is None and effort.no_more_suggestions:
        description += _NOT_COMPARED
    return InvalidRequest(field, description, code, suggestion, token)


def check_text(resource_id: str, token: VerifiedToken) -> None:
    """Refuse a resource's id that is no text: it holds half of a surrogate pair."""
    if read_string(resource_id) is ILL_TYPED:
        raise InvalidRequest("resource.id", "is no text", "RESOURCE_ID_INVALID", None, token)


def attribute_fault(
    fault: FieldFault,
    resource: ResourceProgram,
    given: Mapping[str, Json],
    token: VerifiedToken,
    effort: Effort,
) -> InvalidRequest:
    """Say what is wrong with an attribute."""
    declared = resource.type.attributes
    return _field(fault, "resource.properties", "ATTRIBUTE", declared, given, token, effort)


def context_fault(
    fault: FieldFault,
    api: ApiProgram,
    given: Mapping[str, Json],
    token: VerifiedToken,
    effort: Effort,
) -> InvalidRequest:
    """Say what is wrong with the context."""
    return _field(fault, "context", "CONTEXT", api.api.context, given, token, effort)


def _field(
    fault: FieldFault,
    holder: str,
    kind: str,
    declared: tuple[Attribute, ...],
    given: Mapping[str, Json],
    token: VerifiedToken,
    effort: Effort,
) -> InvalidRequest:
    """Say what is wrong with an attribute or entry; one that was misspelt is named."""
    fact = fault.fact
    path, actions = next((one.path, one.actions) for one in declared if one.fact == fact)
    suggestion = None
    if fault.fault == "INVALID":
        found = json_at(path, given)
        description = f"is not of the declared type {fact.type_name}"
        if found is ILL_TYPED:
            description += ": something other than an object stands in its way"
        elif (foreign := _foreign(fact, found)) is not None:
            description += f": {quoted(foreign)} is not one of its values"
            suggestion = effort.closest(foreign, _values(fact), f"values of {fact.type_name}")
        else:
            description += _why(fact.type, found)
    else:
        description = "is required, and absent"
        if actions:
            names = ", ".join(f"`{action}`" for action in actions)
            description = f"is required for {names}, and absent"
        known = {attribute.path[0] for attribute in declared}
        undeclared = tuple(islice((name for name in given if name not in known), _COMPARED))
        meant = effort.closest(path[0], undeclared, undeclared) if undeclared else None
        if meant is not None:
            description += f"; {quoted(meant)} is not declared"
            suggestion = path[0]
        elif undeclared and effort.no_more_suggestions:
            description += _NOT_COMPARED
    code = f"{kind}_{fault.fault}"
    return InvalidRequest(f"{holder}.{'.'.join(path)}", description, code, suggestion, token)


def _values(fact: Fact) -> frozenset[str]:
    return frozenset() if fact.vocabulary is None else fact.vocabulary.values


def _foreign(fact: Fact, given: Json) -> str | None:
    """Return the first text that is no value of the fact's vocabulary, if it has one."""
    if fact.vocabulary is None:
        return None
    texts = (one for one in (given if isinstance(given, list) else [given]) if isinstance(one, str))
    return next((text for text in texts if text not in _values(fact)), None)


def _why(type_: Type, given: Json) -> str:
    """Say what cannot be guessed: why a whole number is no `int`."""
    values = given if isinstance(given, list) else [given]
    if type_ in (Type.INT, Type.SET_OF_INT) and any(map(_is_beyond, values)):
        return ": a number is beyond 2^53 - 1, up to which JSON is exact; declare it as string"
    if type_ is Type.DECIMAL:
        return ": at most four digits stand after the point, and it is within 2^53 of 0"
    return ""


def _is_beyond(number: Json) -> bool:
    return isinstance(number, int | float) and abs(number) > MAX_INT
