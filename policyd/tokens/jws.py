"""JSON Web Signatures, strictly: the only module that knows PyJWT.

Input: the text of a token. Output: its parts, each in exactly one spelling, and the verdict of
PyJWT's algorithms on the signature. What is stricter here than in PyJWT, and why: base64url must
be canonical (two spellings of one token would walk around caches and revocation), JSON must be
UTF-8 without duplicate members, NaN, infinities or lone surrogates, depth is bounded, numbers are
judged by their text (`numbers`), and no header parameter that changes what is signed or how to read
it (`crit`, `b64`, `zip`, `enc`) is tolerated. Key material inside a header (`jwk`, `jku`, `x5u`,
`x5c`, `x5t`) is never looked at; the `jwk` of a DPoP proof is, in `proof.key`, and is believed only
where the token names it.

What issuers write is nearly always plain: msgspec reads it at once, and proves that nothing else
could have been meant (`read_canonical`). The rest takes the long way (`read_strictly`).
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from json import JSONDecodeError, JSONDecoder
from types import GenericAlias, UnionType
from typing import Annotated, Final, NoReturn

import msgspec
from jwt import PyJWK, PyJWTError
from jwt.algorithms import Algorithm, get_default_algorithms

from policyd.json_types import Json
from policyd.tokens.algorithms import ALGORITHMS, canonical_algorithm
from policyd.tokens.details import escaped, marked, quote
from policyd.tokens.numbers import read_fraction, read_whole
from policyd.tokens.refusals import TokenEncrypted, TokenMalformed

DEEPEST_JSON: Final = 32
_LONGEST_KEY_ID: Final = 256
_LONGEST_NAME: Final = 64
_LONGEST_CACHED_HEADER: Final = 512
_REFUSED_PARAMETERS: Final = ("crit", "b64", "zip", "enc")
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# By how many characters a segment goes beyond whole groups of four: the characters that may end it
# (those whose unused low bits are zero; no length goes one beyond), and the padding it left out.
_LAST_CHARACTERS: Final = (b"", b"", _ALPHABET[::16], _ALPHABET[::4])
_PADDING: Final = (b"", b"", b"==", b"=")
_FOREIGN: Final = bytes(set(range(256)) - set(_ALPHABET))
# Single bytes are numbers here: looking for one is ten times as fast as for a `bytes` of one.
_DOT: Final = ord(".")
_NOT_BASE64: Final = ord("!")
# From base64url to base64, and from what is not base64url to what is neither.
_TO_BASE64: Final = bytes.maketrans(b"-_" + _FOREIGN, b"+/" + bytes((_NOT_BASE64,)) * len(_FOREIGN))
# As JSON writes bytes: twice as fast as binascii. Nothing comes to it that is not base64.
_decode_base64: Final = msgspec.json.Decoder(bytes).decode


class Header(msgspec.Struct, frozen=True):
    """What policyd reads of a JOSE header.

    `algorithm` has its canonical name; `type` is `typ` as compared: in lower case and without
    `application/` (RFC 7515, section 4.1.9).
    """

    algorithm: str
    key_id: str | None
    type: str | None
    parameters: Mapping[str, Json]


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A token cut into its three segments, as they came."""

    header: bytes
    payload: bytes
    signature: bytes
    signing_input: bytes


def split(token: str) -> Encoded:
    """Cut a JWS in compact serialisation (RFC 7515, section 7.1) into its segments.

    Raises `TokenEncrypted` for five segments of base64url, `TokenMalformed` for whatever else is
    not three.
    """
    try:
        data = token.encode("ascii")
    except UnicodeEncodeError:
        raise TokenMalformed("the token holds characters beyond ASCII") from None
    signing_input, _, signature = data.rpartition(b".")
    header, dot, payload = signing_input.partition(b".")
    if dot and _DOT not in payload:
        return Encoded(header, payload, signature, signing_input)
    segments = data.split(b".", 5)
    if len(segments) == 5 and not data.translate(None, _ALPHABET + b"."):
        raise TokenEncrypted(
            "the token has five segments: it is encrypted (JWE); "
            "have the issuer send this API signed, unencrypted access tokens"
        )
    if len(segments) == 1:
        raise TokenMalformed(
            "the token has no dots: it is opaque, and introspection is not configured; "
            "have the issuer send this API JWTs (with Auth0: ask for a token with an audience)"
        )
    raise TokenMalformed(f"the token has {_many(len(segments))} segments, a signed JWT has three")


def decode_segment(segment: bytes, name: str) -> bytes:
    """Decode base64url in its one canonical spelling (RFC 4648, sections 3.5 and 5).

    No padding, no white space, unused bits zero. Raises `TokenMalformed` that says `name`.
    """
    beyond = len(segment) % 4
    base64 = segment.translate(_TO_BASE64)
    if _NOT_BASE64 in base64 or (beyond and segment[-1] not in _LAST_CHARACTERS[beyond]):
        raise _no_base64url(segment, name)
    return _decode_base64(b'"%b%b"' % (base64, _PADDING[beyond]))


def decode_header(segment: bytes) -> bytes:
    """Decode a header's segment, as `decode_segment` does. Raises `TokenMalformed`.

    An issuer uses few headers for many tokens, so the last few hundred short ones are remembered.
    """
    if len(segment) <= _LONGEST_CACHED_HEADER:
        return _remembered_segment(segment, "header")
    return decode_segment(segment, "header")


def encode_segment(data: bytes) -> bytes:
    """Encode as canonical base64url without padding."""
    encoded = b2a_base64(data, newline=False).rstrip(b"=")
    return encoded.replace(b"+", b"-").replace(b"/", b"_")


def read_header(decoded: bytes) -> Header:
    """Read a JOSE header (RFC 7515, section 4). Raises `TokenMalformed`.

    Remembers the last few hundred short ones, as `decode_header` does.
    """
    if len(decoded) <= _LONGEST_CACHED_HEADER:
        return _remembered_header(decoded)
    return parse_header(decoded)


def compared_type(token_type: str) -> str:
    """Return a `typ` as it is compared: media types ignore case and may omit `application/`."""
    return token_type.lower().removeprefix("application/")


def read_object(data: bytes, name: str) -> dict[str, Json]:
    """Read one JSON object (RFC 8259) strictly. Raises `TokenMalformed` that says `name`."""
    value = read_canonical(data)
    return read_strictly(data, name) if value is None else value


def read_canonical(data: bytes) -> dict[str, Json] | None:
    """Read an object that is spelled as msgspec spells it, as most are; `None` for all others.

    The decoder alone proves little: of two members with one name it takes the last. But if the
    encoder writes these very bytes for what the decoder made of them, nothing was lost or bent on
    the way: no name stands twice, no text is broken, no number was rounded, nothing comes after the
    object. Depth and long integers, which an encoder would write as well, are bounded by the type.
    """
    try:
        value = _decode_plain(data)
        return value if _encode_json(value) == data else None
    except ValueError:
        return None


def read_strictly(data: bytes, name: str) -> dict[str, Json]:
    """Read any spelling of an object, and say what is wrong with it. Raises `TokenMalformed`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise TokenMalformed(f"the {name} is not UTF-8") from None
    # Counting brackets, those inside strings too, settles nearly every document without a scan.
    if text.count("[") + text.count("{") > DEEPEST_JSON:
        _check_depth(text, name)
    text = text.strip(_WHITE_SPACE)
    try:
        value: Json
        value, end = _DECODER.raw_decode(text)
        if "\\u" in text:
            # An escape may spell half of a surrogate pair, which no UTF-8 can hold.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except JSONDecodeError as problem:
        raise TokenMalformed(f"the {name} is not JSON: {_json_problem(problem)}") from None
    except UnicodeEncodeError:
        raise TokenMalformed(f"the {name} holds half of a surrogate pair") from None
    except _NotStrict as problem:
        raise TokenMalformed(f"the {name} {marked(str(problem))}") from None
    if not isinstance(value, dict):
        raise TokenMalformed(f"the {name} is not a JSON object")
    if end != len(text):
        raise TokenMalformed(f"the {name} has more after its JSON object")
    return value


class SigningKey(msgspec.Struct, frozen=True, eq=False):
    """A public key bound to one algorithm. `verify(message, signature)` tells whether they fit."""

    key_id: str | None
    algorithm: str
    verify: Callable[[bytes, bytes], bool]


def import_key(jwk: Mapping[str, Json], algorithm: str) -> SigningKey:
    """Import a public JWK (RFC 7517) for one algorithm of `ALGORITHMS`.

    Whether the key is strong and consistent is for `keys` to check. Raises `ValueError` when PyJWT
    or cryptography cannot use it.
    """
    key_id = jwk.get("kid")
    try:
        imported = PyJWK(dict(jwk), algorithm)
    except (PyJWTError, ValueError, TypeError) as problem:
        raise ValueError(f"cannot be imported: {escaped(str(problem))}") from None
    key, verify = imported.key, _ALGORITHMS[algorithm].verify
    return SigningKey(
        key_id=key_id if isinstance(key_id, str) else None,
        algorithm=algorithm,
        verify=lambda message, signature: verify(message, key, signature),
    )


def import_signer(jwk: Mapping[str, Json], algorithm: str) -> Callable[[bytes], bytes]:
    """Import a private JWK, for development issuers and tests; return what signs with it.

    Raises `ValueError`.
    """
    if "d" not in jwk:
        raise ValueError("cannot sign: the key has no private members")
    try:
        key = PyJWK(dict(jwk), algorithm).key
    except (PyJWTError, ValueError, TypeError) as problem:
        raise ValueError(f"cannot sign with this key: {escaped(str(problem))}") from None
    return lambda message: _ALGORITHMS[algorithm].sign(message, key)


_ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    name: algorithm for name, algorithm in get_default_algorithms().items() if name in ALGORITHMS
}


class _NotStrict(Exception):
    """Legal for Python's JSON reader, and not for ours."""


def _object(members: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(members)
    if len(value) != len(members):
        seen: set[str] = set()
        for name, _ in members:  # once through: anyone can send thousands of members
            if name in seen:
                raise _NotStrict(f"has the member {escaped(name)} twice")
            seen.add(name)
    return value


def _constant(name: str) -> NoReturn:
    raise _NotStrict(f"holds {name}, which is not JSON")


def _number(read: Callable[[str], int | float]) -> Callable[[str], int | float]:
    def reading(digits: str) -> int | float:
        try:
            return read(digits)
        except OverflowError:
            raise _NotStrict(f"holds the number {escaped(digits)}, which is too large") from None

    return reading


_DECODER: Final = JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_number(read_whole),
    parse_float=_number(read_fraction),
    parse_constant=_constant,
)
_WHITE_SPACE: Final = " \t\n\r"


def _plain(levels: int) -> UnionType:
    """Return the type of values that are nested so deep at most, with integers of 64 bits."""
    whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    scalar = None | bool | whole | float | str
    if levels == 0:
        return scalar
    inner = _plain(levels - 1)
    return scalar | GenericAlias(list, inner) | GenericAlias(dict, (str, inner))


# Three levels: what a user may do, by application, as Keycloak lists it. Each doubles the type.
_decode_plain: Final[Callable[[bytes], dict[str, Json]]] = msgspec.json.Decoder(
    GenericAlias(dict, (str, _plain(3)))
).decode
_encode_json: Final = msgspec.json.Encoder().encode


#: What the JSON reader says, and what it means.
_JSON_PROBLEMS: Final[Mapping[str, str]] = {
    "Expecting value": "a value is missing, or is not a JSON value,",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting ',' delimiter": "a comma, or the end of what was begun, is missing",
    "Illegal trailing comma before end of object": "a comma stands before the end of an object",
    "Illegal trailing comma before end of array": "a comma stands before the end of a list",
    "Unterminated string starting at": "a text has no end that begins",
    "Invalid control character at": "a text holds a control character that is not escaped",
    "Invalid \\escape": "a text holds an escape that JSON does not know",
    "Invalid \\uXXXX escape": "a text holds a \\u without four hexadecimal digits",
}


def _json_problem(problem: JSONDecodeError) -> str:
    if problem.doc.startswith("\ufeff"):
        return "it begins with a byte order mark (BOM)"
    if not problem.doc[problem.pos :].strip(_WHITE_SPACE):
        return "it ends too early" if problem.doc else "it is empty"
    said = next(
        (words for begin, words in _JSON_PROBLEMS.items() if problem.msg.startswith(begin)),
        "it breaks JSON's grammar",
    )
    return f"{said} at character {problem.pos + 1}"


def _check_depth(text: str, name: str) -> None:
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > DEEPEST_JSON:
                raise TokenMalformed(f"the {name} is nested deeper than {DEEPEST_JSON} levels")
        elif character in "]}":
            depth -= 1


def _no_base64url(segment: bytes, name: str) -> TokenMalformed:
    foreign = segment.translate(None, _ALPHABET)
    if foreign:
        return TokenMalformed(
            f"the {name} is not base64url without padding: it holds {quote(foreign[:1].decode())}"
        )
    return TokenMalformed(
        f"the {name} is not canonical base64url: it is cut short, or its last character "
        "holds bits that are not used"
    )


def parse_header(decoded: bytes) -> Header:
    """Read a JOSE header as `read_header` does, and remember nothing. Raises `TokenMalformed`."""
    parameters = read_object(decoded, "header")
    for refused in _REFUSED_PARAMETERS:
        if refused in parameters:
            raise TokenMalformed(f"the header has `{refused}`, which policyd does not support")
    algorithm = _text_parameter(parameters, "alg", _LONGEST_NAME)
    if algorithm is None:
        raise TokenMalformed("the header has no `alg`")
    token_type = _text_parameter(parameters, "typ", _LONGEST_NAME)
    return Header(
        algorithm=canonical_algorithm(algorithm),
        key_id=_text_parameter(parameters, "kid", _LONGEST_KEY_ID),
        type=None if token_type is None else compared_type(token_type),
        parameters=parameters,
    )


_remembered_segment = lru_cache(maxsize=256)(decode_segment)
_remembered_header = lru_cache(maxsize=256)(parse_header)


def _text_parameter(parameters: Mapping[str, Json], name: str, longest: int) -> str | None:
    if name not in parameters:
        return None
    value = parameters[name]
    if not isinstance(value, str) or len(value) > longest:
        raise TokenMalformed(f"the header's `{name}` is not text of at most {longest} characters")
    return value


def _many(segments: int) -> str:
    return "more than five" if segments > 5 else str(segments)
