"""What only the issuer knows: opaque tokens (RFC 7662) and users (OpenID Connect Core, 5.3)."""
