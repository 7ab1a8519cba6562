package policyd.client;

import java.util.Map;

/**
 * Whether the bearer of a token may do an action to a resource.
 *
 * @param token the access token; it may come with its scheme, {@code Bearer }, and with white space
 *     around it; null for none
 * @param api the API's name or one of its audiences; empty only where the daemon has a {@code
 *     default_api}
 * @param action the action, as the resource's type declares it
 * @param resource what it is done to
 * @param context facts about the call itself that the API's policy declares
 * @param proof for sender-bound tokens; null for none
 * @param requestId the caller's own name for the request, for the decision log; may be empty
 */
public record Question(
    String token,
    String api,
    String action,
    Resource resource,
    Map<String, ?> context,
    Proof proof,
    String requestId) {
  /** A question without context and proof. */
  public Question(String token, String api, String action, Resource resource) {
    this(token, api, action, resource, Map.of(), null, "");
  }

  public Question withContext(Map<String, ?> context) {
    return new Question(token, api, action, resource, context, proof, requestId);
  }

  public Question withProof(Proof proof) {
    return new Question(token, api, action, resource, context, proof, requestId);
  }

  public Question withRequestId(String requestId) {
    return new Question(token, api, action, resource, context, proof, requestId);
  }

  /** Shows no token: what is printed may end up in a log. */
  @Override
  public String toString() {
    return "Question[api=%s, action=%s, resource=%s]".formatted(api, action, resource);
  }
}
