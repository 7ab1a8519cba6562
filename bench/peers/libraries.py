"""The same question put to other engines in process, without any token: Cedar, Casbin and Rego.

Each gets the token's scopes as plain data, and its policies, entities and inputs parsed beforehand,
so that what is timed is the decision alone.
"""

from __future__ import annotations

from collections.abc import Callable

import casbin
import cedarpy
import msgspec
import regopy

CEDAR = """
permit(principal, action == Action::"read", resource is Patient)
when { context.scopes.contains("read:patients") };

forbid(principal, action, resource is Patient)
when { resource.sealed }
unless { context has acr && context.acr == "urn:example:mfa" };
"""

CASBIN = r"""
[request_definition]
r = subject, object, action

[policy_definition]
p = type, action, scope

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.object.type == p.type && r.action == p.action \
    && p.scope in r.subject.scopes && !r.object.sealed
"""

REGO = """
package health

default allow := false

allow if {
    input.action == "read"
    input.resource.type == "patient"
    "read:patients" in input.scopes
    not sealed
}

sealed if {
    input.resource.sealed
    not input.acr == "urn:example:mfa"
}
"""


class _Subject(msgspec.Struct, frozen=True):
    scopes: frozenset[str]


class _Patient(msgspec.Struct, frozen=True):
    id: str
    sealed: bool = False
    type: str = "patient"


def cedar(count: int) -> Callable[[int], bool]:
    """Return what asks Cedar about patient number n of `count`."""
    policies = cedarpy.PolicySet.from_str(CEDAR)
    entities = [
        cedarpy.Entities.from_json_str(
            msgspec.json.encode(
                [
                    {
                        "uid": {"type": "Patient", "id": f"p{number}"},
                        "attrs": {"sealed": False},
                        "parents": [],
                    }
                ]
            ).decode()
        )
        for number in range(count)
    ]
    requests = [
        {
            "principal": f'User::"auth0|{number:08d}"',
            "action": 'Action::"read"',
            "resource": f'Patient::"p{number}"',
            "context": {"scopes": ["openid", "profile", "read:patients", "read:admin"]},
        }
        for number in range(count)
    ]

    def ask(number: int) -> bool:
        result = cedarpy.is_authorized(requests[number], policies, entities[number])
        return bool(result.allowed)

    return ask


def pycasbin(count: int) -> Callable[[int], bool]:
    """Return what asks Casbin about patient number n of `count`."""
    model = casbin.Model()
    model.load_model_from_text(CASBIN)
    enforcer = casbin.Enforcer(model)
    enforcer.add_policy("patient", "read", "read:patients")
    subject = _Subject(frozenset({"openid", "profile", "read:patients", "read:admin"}))
    patients = [_Patient(f"p{number}") for number in range(count)]

    def ask(number: int) -> bool:
        return bool(enforcer.enforce(subject, patients[number], "read"))

    return ask


def rego(count: int) -> Callable[[int], bool]:
    """Return what asks rego-cpp, in a compiled bundle, about patient number n of `count`."""
    interpreter = regopy.Interpreter()
    interpreter.add_module("health", REGO)
    bundle = interpreter.build("data.health.allow")
    inputs = [
        regopy.Input(
            {
                "action": "read",
                "resource": {"type": "patient", "id": f"p{number}", "sealed": False},
                "scopes": ["openid", "profile", "read:patients", "read:admin"],
            }
        )
        for number in range(count)
    ]

    def ask(number: int) -> bool:
        interpreter.set_input(inputs[number])
        return bool(interpreter.query_bundle(bundle)[0].expressions == [True])

    return ask
