package policyd.client;

/**
 * Whom a verified token names: by issuer and subject together.
 *
 * @param kind null where the token does not tell
 */
public record Subject(String subject, String issuer, String client, Kind kind) {
  /** On whose behalf a token acts. */
  public enum Kind {
    USER,
    APPLICATION
  }
}
