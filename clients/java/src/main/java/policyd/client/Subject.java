package policyd.client;

import java.time.Instant;
import java.util.List;

/**
 * Whom a verified token names: by issuer and subject together.
 *
 * @param kind null where the token does not tell
 * @param scopes that the token grants
 * @param expiresAt when the token expires; null where it does not tell
 * @param actor who acts for the subject; empty where nobody does
 */
public record Subject(
    String subject,
    String issuer,
    String client,
    Kind kind,
    List<String> scopes,
    boolean scopesTruncated,
    Instant expiresAt,
    String actor) {
  /** On whose behalf a token acts. */
  public enum Kind {
    USER,
    APPLICATION
  }
}
