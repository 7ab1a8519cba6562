package policyd.client;

import java.util.Map;

/**
 * The HTTP response to a caller who is not let in.
 *
 * @param status from 400
 * @param headers header fields, such as {@code WWW-Authenticate}
 * @param reason policyd's, or {@code AUTHORIZATION_UNAVAILABLE} where there is no answer
 * @param message for people
 */
public record Refusal(int status, Map<String, String> headers, String reason, String message) {}
