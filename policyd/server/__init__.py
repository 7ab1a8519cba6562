"""The daemon: bytes from a socket to a decision and back.

`lifecycle` ties it together. `transport` carries the calls. `services` are what they ask for, bytes
to bytes. `wire` knows the messages of `policyd.v1`, and nothing else does; `services.health` and
`services.reflection` speak two small protocols of gRPC's own. `http` is what probes and scrapers
see. What decides is `policyd.pdp`.
"""
