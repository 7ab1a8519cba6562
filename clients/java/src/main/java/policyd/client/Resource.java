package policyd.client;

import java.util.Map;

/**
 * What the action is performed on.
 *
 * @param type the resource type that the API's policy declares
 * @param id which one; empty where there is none, as for a collection that is created
 * @param properties the attributes that the type declares: null, booleans, numbers, texts, and
 *     lists and maps of them
 */
public record Resource(String type, String id, Map<String, ?> properties) {
  /** A resource without attributes. */
  public Resource(String type, String id) {
    this(type, id, Map.of());
  }
}
