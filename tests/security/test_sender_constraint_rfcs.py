"""The examples of RFC 9449 (DPoP), RFC 8705 (mutual TLS), RFC 7638 and RFC 8037 (thumbprints).

The octets are those of the RFCs.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

import pytest

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.claims.confirmation import read_binding
from policyd.tokens.model import Binding, SenderProof
from policyd.tokens.proof.dpop import DpopVerifier
from policyd.tokens.proof.key import thumbprint
from policyd.tokens.refusals import DpopProofInvalid
from policyd.tokens.settings.dpop import DpopSettings

#: RFC 9449, section 6.1.
THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
#: RFC 9449, section 7.1, figure 12.
ACCESS_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj"
    "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5"
    "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
AT_THE_RESOURCE = (
    f"{HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj"
    "ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0"
    "RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plem"
    "AgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
#: RFC 9449, section 4.1: for the authorization server, and so without `ath`.
AT_THE_ISSUER = (
    f"{HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVy"
    "LmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRM"
    "UvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RESOURCE = "https://resource.example.org/protectedresource"
TOKEN_ENDPOINT = "https://server.example.com/token"
THEN = 1_562_262_618.0


def came(proof: str, method: str = "GET", uri: str = RESOURCE) -> SenderProof:
    return SenderProof((proof,), method, uri)


def test_the_proof_of_rfc_9449_is_accepted_once() -> None:
    verifier = DpopVerifier(DpopSettings())
    verifier.check(THUMBPRINT, ACCESS_TOKEN, came(AT_THE_RESOURCE), THEN)
    assert verifier.remembered == 1
    with pytest.raises(DpopProofInvalid, match="was shown before"):
        verifier.check(THUMBPRINT, ACCESS_TOKEN, came(AT_THE_RESOURCE), THEN)


@pytest.mark.parametrize(
    ("token", "proof", "problem"),
    [
        (ACCESS_TOKEN + "x", came(AT_THE_RESOURCE), "not the hash of this access token"),
        (ACCESS_TOKEN, came(AT_THE_RESOURCE, "POST"), "is for the method"),
        (ACCESS_TOKEN, came(AT_THE_RESOURCE, uri=RESOURCE + "s"), "is for the URI"),
        (ACCESS_TOKEN, came(AT_THE_RESOURCE[:-1] + "B"), "not canonical base64url"),
        (ACCESS_TOKEN, came(AT_THE_RESOURCE[:-2] + "gA"), "signature is not by the key"),
        (ACCESS_TOKEN, came(AT_THE_ISSUER, "POST", TOKEN_ENDPOINT), "not the hash of"),
    ],
)
def test_the_proof_of_rfc_9449_is_for_nothing_else(
    token: str, proof: SenderProof, problem: str
) -> None:
    with pytest.raises(DpopProofInvalid, match=problem):
        DpopVerifier(DpopSettings()).check(THUMBPRINT, token, proof, THEN)


#: RFC 9449, section 6.1: the payload of a token that is bound to the key of the proofs.
BOUND_PAYLOAD = (
    b"eyJzdWIiOiJzb21lb25lQGV4YW1wbGUuY29tIiwiaXNzIjoiaHR0cHM6Ly9zZXJ2ZXIuZXhhbXBsZS5jb20iLCJuYm"
    b"YiOjE1NjIyNjI2MTEsImV4cCI6MTU2MjI2NjIxNiwiY25mIjp7ImprdCI6IjBaY09DT1JaTll5LURXcHFxMzBqWnlK"
    b"R0hUTjBkMkhnbEJWM3VpZ3VBNEkifX0"
)


def test_the_claim_of_rfc_9449() -> None:
    payload = jws.read_object(jws.decode_segment(BOUND_PAYLOAD, "payload"), "payload")
    assert payload["sub"] == "someone@example.com"
    assert read_binding(payload["cnf"]) == Binding("dpop", THUMBPRINT)
    key = jws.read_object(jws.decode_header(HEADER.encode()), "header")["jwk"]
    assert isinstance(key, dict)
    assert thumbprint(key) == THUMBPRINT


#: RFC 8705, appendix A.
CERTIFICATE = b64decode(
    "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx"
    "ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG"
    "SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ"
    "/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID"
    "SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV"
    "bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY="
)
CERTIFIED = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


def test_the_certificate_of_rfc_8705() -> None:
    assert jws.encode_segment(sha256(CERTIFICATE).digest()).decode() == CERTIFIED
    assert read_binding({"x5t#S256": CERTIFIED}) == Binding("mtls", CERTIFIED)


def test_the_claim_of_rfc_8705_is_made_up() -> None:
    """Section 3.1 shows a text whose unused bits are not zero: no hash is written like that."""
    shown = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
    assert read_binding({"x5t#S256": shown}).method == "unusable"
    assert read_binding({"x5t#S256": shown[:-1] + "0"}) == Binding("mtls", shown[:-1] + "0")


RFC_7638: Json = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
    "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2"
    "QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6W"
    "eZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC_8037: Json = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


@pytest.mark.parametrize(
    ("jwk", "expected"),
    [
        (RFC_7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
        (RFC_8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
    ],
)
def test_the_thumbprints_of_rfc_7638_and_rfc_8037(jwk: dict[str, Json], expected: str) -> None:
    assert thumbprint(jwk) == expected
