"""What every row of the benchmark works on: one issuer, 1,000 tokens, 1,000 resources.

The question is the sample policy's: may the bearer read a patient's record? One allow rule looks at
a scope, one deny rule at an attribute.
"""

from __future__ import annotations

import json
import time
from functools import cached_property
from pathlib import Path
from typing import Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies" / "health"
API = "health"
AUDIENCE = "https://example.com/health-api"
ISSUER = "https://bench.example.com/"
KEY_ID = "bench-2026"
COUNT = 1000
REVOKED = 100_000
HOUR = 3600


class Material:
    """Keys and tokens, new at each start: nothing here is worth keeping secret or safe to keep.

    RS256 is what services use and what is measured; EdDSA signs thirty times as fast, for where a
    great many tokens are needed. `key_id` names the key; `revoked` is how many tokens are revoked.
    """

    def __init__(
        self,
        algorithm: Literal["RS256", "EdDSA"] = "RS256",
        *,
        key_id: str = KEY_ID,
        revoked: int = REVOKED,
    ) -> None:
        self.algorithm = algorithm
        self._key_id = key_id
        self._revoked = revoked
        self.key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
        if algorithm == "RS256":
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        else:
            self.key = ed25519.Ed25519PrivateKey.generate()

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        """The key that RS256 is verified with."""
        key = self.key.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    @cached_property
    def tokens(self) -> list[str]:
        return self.new_tokens(0, COUNT)

    def new_tokens(self, first: int, count: int) -> list[str]:
        """Sign access tokens of the shape that the `auth0` dialect accepts; no two are equal."""
        return [
            self.sign(number, scope="openid profile read:patients read:admin")
            for number in range(first, first + count)
        ]

    def sign(self, number: int, **claims: object) -> str:
        """Sign the access token of user number so and so, with some claims more."""
        now = int(time.time())
        usual: dict[str, object] = {
            "iss": ISSUER,
            "sub": f"auth0|{number:08d}",
            "aud": [AUDIENCE, f"{ISSUER}userinfo"],
            "azp": "bench_client_id",
            "iat": now - 60,
            "exp": now + HOUR,
        }
        return jwt.encode(
            usual | claims, self.key, algorithm=self.algorithm, headers={"kid": self._key_id}
        )

    @property
    def key_set(self) -> bytes:
        """Return the public key as a JWK Set (RFC 7517)."""
        key = self.key.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            members = RSAAlgorithm.to_jwk(key, as_dict=True)
        else:
            members = OKPAlgorithm.to_jwk(key, as_dict=True)
        names = {"use": "sig", "alg": self.algorithm, "kid": self._key_id}
        return json.dumps({"keys": [{**members, **names}]}).encode()

    @cached_property
    def revocations(self) -> bytes:
        """Return a whole list of revocations, of tokens that nobody asks with."""
        until = int(time.time()) + 24 * HOUR
        lines = b"".join(
            b'{"issuer":"%s","jti":"revoked-%08d","until":%d}\n' % (ISSUER.encode(), number, until)
            for number in range(self._revoked)
        )
        return lines + b'{"end":%d}\n' % self._revoked

    def configuration(
        self, folder: Path, port: int, policies: Path = POLICIES, *, revoked: bool = True
    ) -> Path:
        """Write a daemon's configuration with its key set into `folder`; return its path.

        The log of decisions goes to a file in the same folder; metrics can be read; `REVOKED`
        tokens are revoked, or with `revoked` false there is no such list.
        """
        (folder / "jwks.json").write_bytes(self.key_set)
        path = folder / "policyd.toml"
        text = f"""\
[policies]
path = "{policies}"

[server]
listen = ["127.0.0.1:{port}"]

[http]
listen = ["127.0.0.1:0"]

[decision_log]
path = "decisions.ndjson"

[[issuers]]
issuer     = "{ISSUER}"
dialect    = "auth0"
algorithms = ["{self.algorithm}"]
jwks_file  = "jwks.json"
"""
        if revoked:
            (folder / "revocations.ndjson").write_bytes(self.revocations)
            text += '\n[revocations]\nfile = "revocations.ndjson"\n'
        path.write_text(text, encoding="utf-8")
        return path
