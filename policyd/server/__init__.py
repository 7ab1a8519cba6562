"""The daemon: bytes from a socket to a decision and back.

`lifecycle` ties it together. `transport` says what a transport is and `standard` is one; nothing
else knows grpcio. `convert` is the only module that knows the messages of `policyd.v1`; `health`
and `reflection` speak two small protocols of gRPC's own. `authorization` and `explanation` are the
services, bytes to bytes.
"""
