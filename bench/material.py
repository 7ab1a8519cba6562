"""What every row of the benchmark works on: one issuer, 1,000 tokens, 1,000 resources.

The question is the sample policy's: may the bearer read a patient's record? One allow rule looks at
a scope, one deny rule at an attribute.
"""

from __future__ import annotations

import base64
import json
import time
from functools import cached_property
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "policies" / "health"
API = "health"
AUDIENCE = "https://example.com/health-api"
ISSUER = "https://bench.example.com/"
KEY_ID = "bench-2026"
COUNT = 1000
HOUR = 3600


class Material:
    """Keys and tokens, new at each start: nothing here is worth keeping secret or safe to keep."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public_key = self.key.public_key()

    @cached_property
    def tokens(self) -> list[str]:
        return self.new_tokens(0, COUNT)

    def new_tokens(self, first: int, count: int) -> list[str]:
        """Sign access tokens of the shape that the `auth0` dialect accepts; no two are equal."""
        now = int(time.time())
        return [
            jwt.encode(
                {
                    "iss": ISSUER,
                    "sub": f"auth0|{number:08d}",
                    "aud": [AUDIENCE, f"{ISSUER}userinfo"],
                    "azp": "bench_client_id",
                    "iat": now - 60,
                    "exp": now + HOUR,
                    "scope": "openid profile read:patients read:admin",
                },
                self.key,
                algorithm="RS256",
                headers={"kid": KEY_ID},
            )
            for number in range(first, first + count)
        ]

    @property
    def key_set(self) -> bytes:
        """Return the public key as a JWK Set (RFC 7517)."""
        numbers = self.public_key.public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": KEY_ID,
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }
        return json.dumps({"keys": [key]}).encode()

    def configuration(self, folder: Path, port: int) -> Path:
        """Write a daemon's configuration with its key set into `folder`; return its path.

        The log of decisions goes to a file in the same folder.
        """
        (folder / "jwks.json").write_bytes(self.key_set)
        path = folder / "policyd.toml"
        path.write_text(
            f"""\
[policies]
path = "{POLICIES}"

[server]
listen = ["127.0.0.1:{port}"]

[decision_log]
path = "decisions.ndjson"

[[issuers]]
issuer     = "{ISSUER}"
dialect    = "auth0"
algorithms = ["RS256"]
jwks_file  = "jwks.json"
""",
            encoding="utf-8",
        )
        return path


def _number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
