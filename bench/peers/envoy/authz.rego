# The benchmark's question behind Envoy: GET /patients/ID/SEALED; a scope allows, a seal denies.
package envoy.authz

default allow := false

http := input.attributes.request.http

token := substring(http.headers.authorization, count("Bearer "), -1)

verified := io.jwt.decode_verify(token, {
	"cert": data.keys,
	"alg": "RS256",
	"iss": data.issuer,
	"aud": data.audience,
})

claims := verified[2] if verified[0]

allow if {
	http.method == "GET"
	["patients", _, sealed] = input.parsed_path
	"read:patients" in split(claims.scope, " ")
	not denied(sealed)
}

denied(sealed) if {
	sealed == "true"
	not claims.acr == "urn:example:mfa"
}
