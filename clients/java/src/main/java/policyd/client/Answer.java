package policyd.client;

import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The daemon's decision. Act on {@code allowed} alone; the contract's message {@code CheckResponse}
 * says what each field means.
 *
 * @param subject null where no token was verified
 * @param cacheableUntil until when the answer may be kept; null: not at all
 */
public record Answer(
    boolean allowed,
    String reason,
    String message,
    List<String> rules,
    boolean rulesTruncated,
    List<String> missingScopes,
    List<String> unknownFacts,
    int httpStatus,
    String wwwAuthenticate,
    Duration retryAfter,
    String dpopNonce,
    Subject subject,
    Instant cacheableUntil,
    String decisionId,
    String policyRevision,
    String policyCommit,
    boolean searchStopped)
    implements Outcome {

  /** The header fields that go with any response, also where access is allowed. */
  public Map<String, String> headers() {
    return dpopNonce.isEmpty() ? Map.of() : Map.of("DPoP-Nonce", dpopNonce);
  }

  @Override
  public Optional<Refusal> refusal() {
    if (allowed) {
      return Optional.empty();
    }
    Map<String, String> fields = new LinkedHashMap<>(headers());
    if (!wwwAuthenticate.isEmpty()) {
      fields.put("WWW-Authenticate", wwwAuthenticate);
    }
    if (retryAfter.toSeconds() > 0) {
      fields.put("Retry-After", Long.toString(retryAfter.toSeconds()));
    }
    // Whatever an answer says besides, a deny is no success.
    int status = httpStatus >= 400 ? httpStatus : 403;
    return Optional.of(new Refusal(status, Map.copyOf(fields), reason, message));
  }
}
