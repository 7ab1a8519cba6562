package policyd.client;

import java.util.Optional;

/** What came of one question of which some facts are unknown: an answer, or why there is none. */
public sealed interface PartialOutcome permits PartialAnswer, AuthorizationFailed {
  /** Whether access is granted, whatever is unknown. */
  boolean allowed();

  /** The response to a caller who is not let in; empty only for an answer that allows. */
  Optional<Refusal> refusal();
}
