"""A small Python client. It imports nothing of the engine.

    from policyd.client import Client, Resource

    with Client("127.0.0.1:8181") as client:
        answer = client.check(token, api="health", action="read",
                              resource=Resource("patient", "p1", {"sealed": False}))
        if not answer.allowed:
            ...  # answer.http_status, answer.www_authenticate

Whatever goes wrong raises: a caller that catches `AuthorizationFailed` denies.
"""

from policyd.client.client import Answer as Answer
from policyd.client.client import AuthorizationFailed as AuthorizationFailed
from policyd.client.client import Client as Client
from policyd.client.client import Json as Json
from policyd.client.client import Proof as Proof
from policyd.client.client import Resource as Resource
from policyd.client.client import Subject as Subject
from policyd.client.client import thumbprint as thumbprint
