"""Opaque tokens: the issuer is asked what they say (RFC 7662)."""
