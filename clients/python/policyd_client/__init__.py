"""A small Python client of policyd. It needs grpcio and protobuf, and nothing of the engine.

    from policyd_client import Client, Resource

    with Client("127.0.0.1:8181") as client:
        answer = client.check(token, api="health", action="read",
                              resource=Resource("patient", "p1", {"sealed": False}))
        if not answer.allowed:
            ...  # answer.http_status, answer.www_authenticate

Whatever goes wrong raises: a caller that catches `AuthorizationFailed` denies. Where the daemon's
own package is installed, `policyd.client` is this package too.
"""

from .client import Client as Client
from .values import Answer as Answer
from .values import AuthorizationFailed as AuthorizationFailed
from .values import Json as Json
from .values import Proof as Proof
from .values import Resource as Resource
from .values import Subject as Subject
from .values import thumbprint as thumbprint
