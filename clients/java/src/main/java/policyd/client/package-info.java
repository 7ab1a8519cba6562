/**
 * Asks a policyd daemon whether the bearer of an access token may perform an action on a resource.
 *
 * <p>Access is granted by {@link policyd.client.Outcome#allowed()} alone, which is false for a
 * failure. {@link policyd.client.Outcome#refusal()} is the HTTP response that goes with a deny or a
 * failure.
 */
package policyd.client;
