package policyd.client;

import java.util.Optional;

/** What came of one question: an answer, or why there is none. */
public sealed interface Outcome permits Answer, AuthorizationFailed {
  /** Whether access is granted: act on this alone. A failure is no permission. */
  boolean allowed();

  /** The response to a caller who is not let in; empty only for an answer that allows. */
  Optional<Refusal> refusal();
}
