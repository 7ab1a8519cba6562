package policyd.client;

import java.util.List;
import java.util.Map;

/**
 * Several questions about one token at one API.
 *
 * @param token as in {@link Question}
 * @param api as in {@link Question}
 * @param items the questions
 * @param context as in {@link Question}
 * @param proof as in {@link Question}
 * @param requestId as in {@link Question}
 */
public record Batch(
    String token,
    String api,
    List<Item> items,
    Map<String, ?> context,
    Proof proof,
    String requestId) {
  /** One question of a batch. */
  public record Item(String action, Resource resource) {}

  /** A batch without context and proof. */
  public Batch(String token, String api, List<Item> items) {
    this(token, api, items, Map.of(), null, "");
  }

  /** Shows no token: what is printed may end up in a log. */
  @Override
  public String toString() {
    return "Batch[api=%s, items=%s]".formatted(api, items);
  }
}
