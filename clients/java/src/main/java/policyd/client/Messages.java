package policyd.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Timestamp;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import policyd.v1.BatchCheckItem;
import policyd.v1.BatchCheckRequest;
import policyd.v1.BatchCheckResult;
import policyd.v1.BatchPartialCheckRequest;
import policyd.v1.BatchPartialCheckResult;
import policyd.v1.CheckRequest;
import policyd.v1.CheckResponse;
import policyd.v1.PartialCheckRequest;
import policyd.v1.PartialCheckResponse;
import policyd.v1.SenderProof;

/** Plain values to messages of {@code policyd.v1}, and back. Nothing here sends anything. */
final class Messages {
  private static final String BEARER = "Bearer";
  private static final String DPOP = "DPoP ";

  private Messages() {}

  static CheckRequest checkRequest(Question asked) {
    CheckRequest.Builder made =
        CheckRequest.newBuilder()
            .setAccessToken(bareToken(asked.token()))
            .setApi(asked.api())
            .setAction(asked.action())
            .setResource(resourceOf(asked.resource()))
            .setContext(contextOf(asked.context()))
            .setRequestId(requestId(asked.requestId(), asked.proof()));
    if (asked.proof() != null) {
      made.setProof(proofOf(asked.proof()));
    }
    return made.build();
  }

  static BatchCheckRequest batchCheckRequest(Batch asked) {
    BatchCheckRequest.Builder made =
        BatchCheckRequest.newBuilder()
            .setAccessToken(bareToken(asked.token()))
            .setApi(asked.api())
            .setContext(contextOf(asked.context()))
            .setRequestId(requestId(asked.requestId(), asked.proof()));
    for (Batch.Item item : asked.items()) {
      made.addItems(
          BatchCheckItem.newBuilder()
              .setAction(item.action())
              .setResource(resourceOf(item.resource())));
    }
    if (asked.proof() != null) {
      made.setProof(proofOf(asked.proof()));
    }
    return made.build();
  }

  static PartialCheckRequest partialCheckRequest(Question asked, List<String> unknown) {
    CheckRequest known = checkRequest(asked);
    PartialCheckRequest.Builder made =
        PartialCheckRequest.newBuilder()
            .setAccessToken(known.getAccessToken())
            .setApi(known.getApi())
            .setAction(known.getAction())
            .setResource(known.getResource())
            .setContext(known.getContext())
            .setRequestId(known.getRequestId())
            .addAllAssumedUnknown(unknown);
    if (known.hasProof()) {
      made.setProof(known.getProof());
    }
    return made.build();
  }

  static BatchPartialCheckRequest batchPartialCheckRequest(Batch asked, List<String> unknown) {
    BatchCheckRequest known = batchCheckRequest(asked);
    BatchPartialCheckRequest.Builder made =
        BatchPartialCheckRequest.newBuilder()
            .setAccessToken(known.getAccessToken())
            .setApi(known.getApi())
            .setContext(known.getContext())
            .addAllItems(known.getItemsList())
            .setRequestId(known.getRequestId())
            .addAllAssumedUnknown(unknown);
    if (known.hasProof()) {
      made.setProof(known.getProof());
    }
    return made.build();
  }

  private static policyd.v1.Resource resourceOf(Resource resource) {
    String what = "`" + resource.type() + "` attribute";
    return policyd.v1.Resource.newBuilder()
        .setType(resource.type())
        .setId(resource.id())
        .setProperties(Attributes.structOf(resource.properties(), what, "ATTRIBUTE_INVALID"))
        .build();
  }

  private static com.google.protobuf.Struct contextOf(Map<String, ?> context) {
    return Attributes.structOf(context, "context entry", "CONTEXT_INVALID");
  }

  private static SenderProof proofOf(Proof proof) {
    return SenderProof.newBuilder()
        .addAllDpopProofs(proof.dpopProofs())
        .setHttpMethod(proof.httpMethod())
        .setHttpUri(proof.httpUri())
        .setClientCertificateSha256(proof.clientCertificateSha256())
        .build();
  }

  /** Names a request with a proof: a repetition of the call is no second use of the proof. */
  private static String requestId(String given, Proof proof) {
    return given.isEmpty() && proof != null ? UUID.randomUUID().toString() : given;
  }

  /**
   * Takes off {@code Bearer } and white space: a file that holds a token ends in a newline, and a
   * header field begins with its scheme (RFC 6750, section 2.1). What else is wrong the daemon says.
   */
  static String bareToken(String given) {
    String token = given == null ? "" : given.strip();
    if (token.equalsIgnoreCase(BEARER)) {
      return "";
    }
    if (token.regionMatches(true, 0, BEARER + " ", 0, BEARER.length() + 1)) {
      return token.substring(BEARER.length()).strip();
    }
    if (token.regionMatches(true, 0, DPOP, 0, DPOP.length())) {
      throw AuthorizationFailed.invalid(
          "TOKEN_MALFORMED",
          "the token has `DPoP ` before it: pass what follows, and the request's DPoP header fields"
              + " as a Proof");
    }
    return token;
  }

  static Answer answerOf(CheckResponse response) {
    return new Answer(
        response.getAllowed(),
        response.getReason(),
        response.getMessage(),
        List.copyOf(response.getRulesList()),
        response.getRulesTruncated(),
        List.copyOf(response.getMissingScopesList()),
        List.copyOf(response.getUnknownFactsList()),
        response.getHttpStatus(),
        response.getWwwAuthenticate(),
        Duration.ofSeconds(response.getRetryAfterSeconds()),
        response.getDpopNonce(),
        response.hasSubject() ? subjectOf(response.getSubject()) : null,
        response.hasCacheableUntil() ? instant(response.getCacheableUntil()) : null,
        response.getDecisionId(),
        response.getPolicyRevision(),
        response.getPolicyCommit(),
        response.getSearchStopped());
  }

  private static Instant instant(Timestamp time) {
    return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
  }

  private static Subject subjectOf(policyd.v1.Subject subject) {
    Subject.Kind kind =
        switch (subject.getKind()) {
          case SUBJECT_KIND_USER -> Subject.Kind.USER;
          case SUBJECT_KIND_APPLICATION -> Subject.Kind.APPLICATION;
          default -> null;
        };
    return new Subject(
        subject.getSubject(),
        subject.getIssuer(),
        subject.getClient(),
        kind,
        List.copyOf(subject.getScopesList()),
        subject.getScopesTruncated(),
        subject.hasExpiresAt() ? instant(subject.getExpiresAt()) : null,
        subject.getActor());
  }

  static PartialAnswer partialAnswerOf(PartialCheckResponse response) {
    // One that this client does not know is to be shown, and never to be allowed.
    PartialAnswer.Certainty outcome =
        switch (response.getOutcome()) {
          case PARTIAL_OUTCOME_ALLOW -> PartialAnswer.Certainty.ALLOW;
          case PARTIAL_OUTCOME_DENY -> PartialAnswer.Certainty.DENY;
          default -> PartialAnswer.Certainty.MAYBE;
        };
    return new PartialAnswer(
        outcome,
        List.copyOf(response.getDependsOnList()),
        response.getSearchStopped(),
        answerOf(response.getResponse()));
  }

  static PartialOutcome partialOutcomeOf(BatchPartialCheckResult result) {
    return switch (result.getOutcomeCase()) {
      case RESPONSE -> partialAnswerOf(result.getResponse());
      case ERROR -> failure(result.getError(), null);
      case OUTCOME_NOT_SET -> empty();
    };
  }

  private static AuthorizationFailed empty() {
    return new AuthorizationFailed(io.grpc.Status.Code.UNKNOWN, "", "the answer is empty", null);
  }

  static Outcome outcomeOf(BatchCheckResult result) {
    return switch (result.getOutcomeCase()) {
      case RESPONSE -> answerOf(result.getResponse());
      case ERROR -> failure(result.getError(), null);
      case OUTCOME_NOT_SET -> empty();
    };
  }

  static AuthorizationFailed failed(StatusRuntimeException error) {
    return failure(StatusProto.fromThrowable(error), error);
  }

  private static AuthorizationFailed failure(Status status, StatusRuntimeException cause) {
    io.grpc.Status.Code code = io.grpc.Status.fromCodeValue(status.getCode()).getCode();
    return new AuthorizationFailed(code, reasonOf(status), status.getMessage(), cause);
  }

  private static String reasonOf(Status status) {
    for (Any detail : status.getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class)) {
          return detail.unpack(ErrorInfo.class).getReason();
        }
      } catch (InvalidProtocolBufferException notOfPolicyd) {
        return ""; // the code alone counts
      }
    }
    return "";
  }
}
