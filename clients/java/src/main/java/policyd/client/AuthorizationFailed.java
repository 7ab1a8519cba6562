package policyd.client;

import io.grpc.Status;
import java.util.EnumSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** There is no answer, so there is no permission either. */
public final class AuthorizationFailed extends RuntimeException
    implements Outcome, PartialOutcome {
  private static final long serialVersionUID = 1;
  private static final String RETRY_AFTER = "5";

  /** Failures that end by themselves. */
  private static final Set<Status.Code> PASSING =
      EnumSet.of(
          Status.Code.UNAVAILABLE,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.RESOURCE_EXHAUSTED,
          Status.Code.CANCELLED);

  private final Status.Code code;
  private final String reason;

  AuthorizationFailed(Status.Code code, String reason, String message, Throwable cause) {
    super(code + ": " + message, cause);
    // An error that says that all is well is no answer either.
    this.code = code == Status.Code.OK ? Status.Code.UNKNOWN : code;
    this.reason = reason;
  }

  static AuthorizationFailed invalid(String reason, String message) {
    return new AuthorizationFailed(Status.Code.INVALID_ARGUMENT, reason, message, null);
  }

  /** gRPC's code. */
  public Status.Code code() {
    return code;
  }

  /** policyd's own reason, such as {@code UNKNOWN_API}; empty where it gave none. */
  public String reason() {
    return reason;
  }

  @Override
  public boolean allowed() {
    return false;
  }

  /** 503 where waiting may help, else 500. */
  @Override
  public Optional<Refusal> refusal() {
    boolean passing = PASSING.contains(code);
    Map<String, String> headers = passing ? Map.of("Retry-After", RETRY_AFTER) : Map.of();
    String name = "AUTHORIZATION_UNAVAILABLE";
    return Optional.of(
        new Refusal(passing ? 503 : 500, headers, name, "no decision could be made"));
  }
}
