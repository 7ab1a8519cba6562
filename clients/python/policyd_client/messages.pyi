# The shapes of what `messages.py` makes, for the type checker of this repository.
from google.protobuf.struct_pb2 import Struct as Struct
from google.protobuf.struct_pb2 import Value as Value
from google.rpc.error_details_pb2 import ErrorInfo as ErrorInfo
from google.rpc.status_pb2 import Status as Status
from grpc_health.v1.health_pb2 import HealthCheckResponse as HealthCheckResponse

from policyd.v1.authorization_pb2 import FILTER_OUTCOME_ALL as FILTER_OUTCOME_ALL
from policyd.v1.authorization_pb2 import FILTER_OUTCOME_SOME as FILTER_OUTCOME_SOME
from policyd.v1.authorization_pb2 import PARTIAL_OUTCOME_ALLOW as PARTIAL_OUTCOME_ALLOW
from policyd.v1.authorization_pb2 import PARTIAL_OUTCOME_MAYBE as PARTIAL_OUTCOME_MAYBE
from policyd.v1.authorization_pb2 import SUBJECT_KIND_APPLICATION as SUBJECT_KIND_APPLICATION
from policyd.v1.authorization_pb2 import SUBJECT_KIND_USER as SUBJECT_KIND_USER
from policyd.v1.authorization_pb2 import BatchCheckItem as BatchCheckItem
from policyd.v1.authorization_pb2 import BatchCheckRequest as BatchCheckRequest
from policyd.v1.authorization_pb2 import BatchCheckResponse as BatchCheckResponse
from policyd.v1.authorization_pb2 import BatchCheckResult as BatchCheckResult
from policyd.v1.authorization_pb2 import BatchPartialCheckRequest as BatchPartialCheckRequest
from policyd.v1.authorization_pb2 import BatchPartialCheckResponse as BatchPartialCheckResponse
from policyd.v1.authorization_pb2 import BatchPartialCheckResult as BatchPartialCheckResult
from policyd.v1.authorization_pb2 import CheckRequest as CheckRequest
from policyd.v1.authorization_pb2 import CheckResponse as CheckResponse
from policyd.v1.authorization_pb2 import CheckStreamRequest as CheckStreamRequest
from policyd.v1.authorization_pb2 import CheckStreamResponse as CheckStreamResponse
from policyd.v1.authorization_pb2 import FilterCondition as FilterCondition
from policyd.v1.authorization_pb2 import FilterOperand as FilterOperand
from policyd.v1.authorization_pb2 import FilterRequest as FilterRequest
from policyd.v1.authorization_pb2 import FilterResponse as FilterResponse
from policyd.v1.authorization_pb2 import FilterTest as FilterTest
from policyd.v1.authorization_pb2 import FilterValue as FilterValue
from policyd.v1.authorization_pb2 import PartialCheckRequest as PartialCheckRequest
from policyd.v1.authorization_pb2 import PartialCheckResponse as PartialCheckResponse
from policyd.v1.authorization_pb2 import Resource as Resource
from policyd.v1.authorization_pb2 import SenderProof as SenderProof
from policyd.v1.authorization_pb2 import Subject as Subject
from policyd.v1.explanation_pb2 import EFFECT_ALLOW as EFFECT_ALLOW
from policyd.v1.explanation_pb2 import EFFECT_DENY as EFFECT_DENY
from policyd.v1.explanation_pb2 import TRUTH_FALSE as TRUTH_FALSE
from policyd.v1.explanation_pb2 import TRUTH_TRUE as TRUTH_TRUE
from policyd.v1.explanation_pb2 import ExplainRequest as ExplainRequest
from policyd.v1.explanation_pb2 import ExplainResponse as ExplainResponse
from policyd.v1.explanation_pb2 import SeenFact as SeenFact
from policyd.v1.explanation_pb2 import StepUp as StepUp
from policyd.v1.explanation_pb2 import TraceStep as TraceStep

FILTER_OPERATORS: dict[int, str]
FILTER_TYPES: dict[int, str]
