"""The names that need no declaration, each with one sentence, for hovers and completion.

Source: section 3 of the language's reference, "What a token looks like from inside".
"""

from __future__ import annotations

from policyd.language.types import NOW, RESOURCE_ID, TOKEN_FACTS, Type

#: By path, the type and what it is.
FACTS: dict[str, tuple[Type, str]] = {
    fact.path: (fact.type, text)
    for fact, text in (
        (TOKEN_FACTS["scopes"], "What the application was granted. Never missing."),
        (TOKEN_FACTS["permissions"], "What the user may do. Never missing, perhaps empty."),
        (TOKEN_FACTS["subject"], "The principal, by the claim that the issuer's dialect names."),
        (TOKEN_FACTS["sub"], "The claim `sub`: the principal as the issuer knows it."),
        (TOKEN_FACTS["iss"], "The claim `iss`: who issued the token."),
        (TOKEN_FACTS["jti"], "The claim `jti`: the token's own identifier."),
        (TOKEN_FACTS["client"], "The application: `azp`, `client_id`, `cid` or `appid`."),
        (TOKEN_FACTS["audience"], "The claim `aud`: the APIs that the token is for."),
        (TOKEN_FACTS["issued_at"], "The claim `iat`: when the token was issued."),
        (TOKEN_FACTS["expires_at"], "The claim `exp`: until when the token is good."),
        (TOKEN_FACTS["auth_time"], "The claim `auth_time`: when the user logged in."),
        (TOKEN_FACTS["acr"], "The claim `acr`: how strong the login was."),
        (TOKEN_FACTS["amr"], "The claim `amr`: the methods that the user logged in with."),
        (TOKEN_FACTS["actor"], "Who acts for the subject: `act.sub` (RFC 8693)."),
        (RESOURCE_ID, "The resource's id in the request. Missing when the request's is empty."),
        (NOW, "The clock, read once a call."),
    )
}
