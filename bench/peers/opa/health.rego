# The benchmark's question for OPA: a scope allows, a seal denies without a strong login.
package health

default allow := false

verified := io.jwt.decode_verify(input.token, {
	"cert": data.keys,
	"alg": "RS256",
	"iss": data.issuer,
	"aud": data.audience,
})

claims := verified[2] if verified[0]

scopes := split(claims.scope, " ")

allow if {
	input.action == "read"
	input.resource.type == "patient"
	"read:patients" in scopes
	not sealed
}

sealed if {
	input.resource.sealed
	not claims.acr == "urn:example:mfa"
}
