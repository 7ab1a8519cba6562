"""What a service asks, in plain values, to the questions that the engine answers.

Invariants: what is asked is copied, so that a service may change its values while their record is
still on its way to the log. What is no JSON value is named and refused, as the client of the daemon
does, and the limits of a question are those of the daemon.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from policyd.client.credentials import bare_token
from policyd.client.json_values import (
    DEEPEST,
    GREATEST,
    Unsupported,
    advice_on,
    kind_of,
    number_of,
    text_of,
)
from policyd.client.values import AuthorizationFailed, Proof, QuestionInvalid, Resource
from policyd.client.values import Json as Given
from policyd.config.request_limits import RequestLimits
from policyd.decision.model import BatchItem, BatchRequest, Request
from policyd.json_types import Json
from policyd.pdp.failures import ErrorReason
from policyd.pdp.questions import LONGEST, MOST_NAMES, MOST_PROOFS, proof_of
from policyd.tokens.model import NO_PROOF, SenderProof

#: A resource: type, perhaps an identifier, and perhaps attributes.
ResourceLike = Resource | tuple[str] | tuple[str, str] | tuple[str, str, Mapping[str, Given]]
#: What is asked of an item of a batch, or why it cannot be asked.
Item = BatchItem | AuthorizationFailed
#: In so many characters together, no text is longer than it may be.
_SURELY_SHORT: Final = 256
#: Bytes that a value takes in a message, beside its text, by estimate.
_BYTES_A_VALUE: Final = 12
_NOTHING: Final[Mapping[str, Json]] = {}
#: What a resource has where it is not told.
_MISSING: Final = ("", "", _NOTHING)


def _parts(given: ResourceLike) -> tuple[str, str, Mapping[str, Given]]:
    """Return type, identifier and attributes. Raises `QuestionInvalid` for what is no resource."""
    if isinstance(given, tuple) and 0 < len(given) <= len(_MISSING):
        return given + _MISSING[len(given) :]  # type: ignore[return-value] # by its length
    if not hasattr(given, "properties"):
        raise QuestionInvalid(
            "a resource is `(type, id, attributes)` or a `Resource`, and no " + kind_of(given),
            ErrorReason.VALUE_INVALID,
        )
    return given.type, given.id, given.properties


class Reader:
    """Reads the questions of one call, whose values are bounded together.

    `size` is what its texts and values would take in a message, in bytes, by estimate.
    """

    __slots__ = ("_left", "_limits", "size")

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._left = limits.values
        self.size = 0

    def request(
        self,
        access_token: str,
        action: str,
        resource: ResourceLike,
        api: str,
        context: Mapping[str, Given] | None,
        proof: Proof | None,
        request_id: str,
    ) -> Request:
        """Return what is asked. Raises `AuthorizationFailed`."""
        type_, id_, attributes = _parts(resource)
        self._check(
            ("api", api),
            ("action", action),
            ("resource.type", type_),
            ("resource.id", id_),
            ("request_id", request_id),
        )
        return Request(
            self._token(access_token),
            api,
            action,
            type_,
            id_,
            self._attributes(type_, attributes),
            self._context(context),
            NO_PROOF if proof is None else self._proof(proof, request_id),
            request_id,
        )

    def batch(
        self,
        access_token: str,
        items: Iterable[tuple[str, ResourceLike]],
        api: str,
        context: Mapping[str, Given] | None,
        proof: Proof | None,
        request_id: str,
    ) -> tuple[BatchRequest, Sequence[Item]]:
        """Return what is asked of those items that can be asked, and all of them in order.

        Raises `AuthorizationFailed` for what is wrong with the whole batch.
        """
        self._check(("api", api), ("request_id", request_id))
        entries = self._context(context)
        read: list[Item] = []
        for action, resource in items:
            if len(read) == self._limits.batch_items:
                raise AuthorizationFailed(
                    "RESOURCE_EXHAUSTED",
                    f"items: a batch holds at most {self._limits.batch_items} items, this one more",
                    ErrorReason.BATCH_TOO_LARGE,
                )
            read.append(self._item(action, resource))
        request = BatchRequest(
            self._token(access_token),
            api,
            [item for item in read if isinstance(item, BatchItem)],
            entries,
            NO_PROOF if proof is None else self._proof(proof, request_id),
            request_id,
        )
        return request, read

    def _item(self, action: str, given: ResourceLike) -> Item:
        """Return an item, or what is wrong with it. Raises `QuestionInvalid` for what is a mistake
        of the program rather than of the policy's names, as the client of the daemon does."""
        type_, id_, attributes = _parts(given)
        try:
            self._check(("action", action), ("resource.type", type_), ("resource.id", id_))
        except QuestionInvalid as error:
            return error
        return BatchItem(action, type_, id_, self._attributes(type_, attributes))

    def names(self, unknown: Iterable[str]) -> tuple[str, ...]:
        """Return the names of unknown facts; one text would be taken for the list of its letters.

        Raises `QuestionInvalid`.
        """
        if isinstance(unknown, str):
            raise QuestionInvalid(
                "the unknown facts are a list of names, and no text", "UNKNOWN_FACT"
            )
        names = tuple(unknown)
        if len(names) > MOST_NAMES:
            raise QuestionInvalid(
                f"assumed_unknown: holds {len(names)} names, at most {MOST_NAMES} are looked at",
                ErrorReason.FIELD_TOO_LONG,
            )
        for name in names:
            self._check(("assumed_unknown", name))
        return names

    def _check(self, *texts: tuple[str, str]) -> None:
        """Refuse what is no text, and a text that is longer than its field may be."""
        length = 0
        for field, text in texts:
            if not isinstance(text, str):
                raise QuestionInvalid(
                    f"{field}: is a {kind_of(text)}, and has to be a text",
                    ErrorReason.VALUE_INVALID,
                )
            length += len(text)
        self.size += length
        if length <= _SURELY_SHORT:
            return
        for field, text in texts:
            if len(text) > LONGEST[field]:
                raise QuestionInvalid(
                    f"{field}: has {len(text)} characters, the limit is {LONGEST[field]}",
                    ErrorReason.FIELD_TOO_LONG,
                )

    def _token(self, given: str) -> str:
        token = bare_token(given)
        self.size += len(token)
        return token

    def _proof(self, proof: Proof, request_id: str) -> SenderProof:
        number = len(proof.dpop_proofs)
        if number > MOST_PROOFS:
            raise QuestionInvalid(
                f"proof.dpop_proofs: holds {number} proofs, at most {MOST_PROOFS} are looked at",
                ErrorReason.FIELD_TOO_LONG,
            )
        self._check(
            ("proof.http_method", proof.http_method),
            ("proof.http_uri", proof.http_uri),
            ("proof.client_certificate_sha256", proof.client_certificate_sha256),
        )
        return SenderProof(
            tuple(proof.dpop_proofs),
            proof.http_method,
            proof.http_uri,
            proof.client_certificate_sha256,
            proof_of(request_id),
        )

    def _attributes(self, type_: str, given: Mapping[str, Given]) -> Mapping[str, Json]:
        if not given:
            return _NOTHING
        return self._object(given, f"`{type_}` attribute", "ATTRIBUTE_INVALID")

    def _context(self, context: Mapping[str, Given] | None) -> Mapping[str, Json]:
        return self._object(context, "context entry", "CONTEXT_INVALID") if context else _NOTHING

    def _object(self, values: Mapping[str, Given], what: str, reason: str) -> dict[str, Json]:
        """Return a copy of a mapping. `what` is how messages call an entry."""
        if not isinstance(values, Mapping):
            raise QuestionInvalid(
                f"a mapping of {what}s is needed, and no {kind_of(values)}", reason
            )
        copied: dict[str, Json] = {}
        for name, value in values.items():
            if not isinstance(name, str):
                raise QuestionInvalid(
                    f"the name of an {what} is a {kind_of(name)}: {name!r}", reason
                )
            try:
                copied[name] = self._value(value, "", 1)
            except Unsupported as found:
                raise QuestionInvalid(
                    f"{what} `{name}{found.path}` is {found.problem}", reason
                ) from None
            self.size += len(name)
        return copied

    def _value(self, value: object, path: str, depth: int) -> Json:
        """Return a copy of a value. Raises `Unsupported`."""
        if self._left == 0:
            raise AuthorizationFailed(
                "RESOURCE_EXHAUSTED",
                f"properties and context of one call hold at most {self._limits.values} values "
                "together, those in lists and objects counted; here are more",
                ErrorReason.TOO_MANY_VALUES,
            )
        if depth > DEEPEST:
            raise Unsupported("", f"nested deeper than {DEEPEST} levels")
        self._left -= 1
        self.size += _BYTES_A_VALUE
        kind = type(value)
        if value is None or kind is bool:
            return value  # type: ignore[return-value]
        if isinstance(value, str):
            self.size += len(value)
            return value if kind is str and value.isascii() else text_of(value, path)
        if isinstance(value, int | float):
            if kind is int and -GREATEST <= value <= GREATEST:
                return float(value)  # as it comes to the daemon
            return number_of(value, path)
        if isinstance(value, Mapping):
            return self._inner(value, path, depth)
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return [
                self._value(one, f"{path}[{place}]", depth + 1) for place, one in enumerate(value)
            ]
        raise Unsupported(path, f"a {kind_of(value)}, which JSON does not have{advice_on(value)}")

    def _inner(self, value: Mapping[object, object], path: str, depth: int) -> dict[str, Json]:
        copied: dict[str, Json] = {}
        for name, one in value.items():
            if not isinstance(name, str):
                raise Unsupported(path, f"an object with a {kind_of(name)} for a name: {name!r}")
            self.size += len(name)
            copied[name] = self._value(one, f"{path}.{name}", depth + 1)
        return copied
