"""A small Python client of policyd. It needs grpcio and protobuf, and nothing of the engine.

    from policyd_client import Client, Resource

    with Client("127.0.0.1:8181") as client:
        answer = client.check(token, api="health", action="read",
                              resource=Resource("patient", "p1", {"sealed": False}))
        if not answer.allowed:
            ...  # answer.http_status, answer.www_authenticate

Whatever goes wrong raises: a caller that catches `AuthorizationFailed` denies. `AsyncClient` is the
same for asyncio. For a web framework or a gRPC server, import one of `policyd_client.starlette`
(FastAPI too), `.flask`, `.django` and `.grpc_server`; none of them is loaded here. Where the
daemon's own package is installed, `policyd.client` is this package too.

What speaks to a daemon is loaded when it is first used: a service that decides in its own process,
with `policyd.Embedded`, has the same questions and answers without grpcio and protobuf.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .cache import AnswerCache as AnswerCache
from .credentials import Credentials as Credentials
from .credentials import credentials as credentials
from .explanation import ExplainedCondition as ExplainedCondition
from .explanation import ExplainedRule as ExplainedRule
from .explanation import Explanation as Explanation
from .explanation import SeenFact as SeenFact
from .explanation import StepUp as StepUp
from .explanation import TraceStep as TraceStep
from .metadata import fetch_metadata as fetch_metadata
from .metadata import fetch_metadata_async as fetch_metadata_async
from .metadata import metadata_path as metadata_path
from .values import AccessDenied as AccessDenied
from .values import Answer as Answer
from .values import AuthorizationFailed as AuthorizationFailed
from .values import Json as Json
from .values import PartialAnswer as PartialAnswer
from .values import Proof as Proof
from .values import Question as Question
from .values import QuestionInvalid as QuestionInvalid
from .values import Resource as Resource
from .values import Subject as Subject
from .values import thumbprint as thumbprint

if TYPE_CHECKING:
    from .aio import AsyncClient as AsyncClient
    from .client import Client as Client
    from .filtering import Filter as Filter

#: What is loaded when it is first used, and the module that has it.
_LATER = {
    "AsyncClient": "aio",
    "Client": "client",
    "Filter": "filtering",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
