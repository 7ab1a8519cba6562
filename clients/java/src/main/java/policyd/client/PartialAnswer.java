package policyd.client;

import java.util.List;
import java.util.Optional;

/**
 * What is certain of a question of which some facts are unknown. A menu shows what is not {@code
 * DENY}. Access is granted with {@code ALLOW} alone: before acting on a {@code MAYBE}, ask again with
 * what is known by then.
 *
 * @param dependsOn the unknown facts on which it may depend
 * @param answer the answer as a check gives it
 */
public record PartialAnswer(
    Certainty outcome, List<String> dependsOn, boolean searchStopped, Answer answer)
    implements PartialOutcome {
  /** What is certain. */
  public enum Certainty {
    /** It is allowed, whatever is unknown. */
    ALLOW,
    /** It is denied, whatever is unknown. */
    DENY,
    /** It depends on what is unknown, or may depend on it. */
    MAYBE
  }

  @Override
  public boolean allowed() {
    return answer.allowed();
  }

  @Override
  public Optional<Refusal> refusal() {
    return answer.refusal();
  }
}
