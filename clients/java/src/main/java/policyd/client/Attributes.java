package policyd.client;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Attributes and entries of a context to a Struct. What JSON lacks is named, never guessed. */
final class Attributes {
  /** The daemon's own bound; a map that holds itself ends here too. */
  private static final int DEEPEST = 32;

  private static final long GREATEST = (1L << 53) - 1;

  private Attributes() {}

  /** What is wrong with a value, and the path to it within the attribute. */
  private static final class Unsupported extends Exception {
    private static final long serialVersionUID = 1;
    private final String path;

    Unsupported(String path, String problem) {
      super(problem, null, false, false);
      this.path = path;
    }
  }

  /**
   * Returns the Struct of {@code values}.
   *
   * @param what how messages call an entry, such as "context entry"
   * @param reason the failure's
   * @throws AuthorizationFailed with the name of the attribute
   */
  static Struct structOf(Map<String, ?> values, String what, String reason) {
    Struct.Builder made = Struct.newBuilder();
    for (Map.Entry<?, ?> entry : values.entrySet()) {
      try {
        made.putFields(name(entry.getKey(), ""), valueOf(entry.getValue(), "", 1));
      } catch (Unsupported found) {
        String path = entry.getKey() + found.path;
        String message = "%s `%s` is %s".formatted(what, path, found.getMessage());
        throw AuthorizationFailed.invalid(reason, message);
      }
    }
    return made.build();
  }

  private static Value valueOf(Object value, String path, int depth) throws Unsupported {
    if (depth > DEEPEST) {
      throw new Unsupported("", "nested deeper than " + DEEPEST + " levels");
    }
    Value.Builder made = Value.newBuilder();
    if (value == null) {
      made.setNullValue(NullValue.NULL_VALUE);
    } else if (value instanceof Boolean truth) {
      made.setBoolValue(truth);
    } else if (value instanceof String text) {
      made.setStringValue(text(text, path));
    } else if (value instanceof Double || value instanceof Float) {
      made.setNumberValue(finite(((Number) value).doubleValue(), path));
    } else if (value instanceof Long
        || value instanceof Integer
        || value instanceof Short
        || value instanceof Byte) {
      made.setNumberValue(exact(((Number) value).longValue(), path));
    } else if (value instanceof List<?> list) {
      made.setListValue(listOf(list, path, depth));
    } else if (value instanceof Map<?, ?> map) {
      made.setStructValue(objectOf(map, path, depth));
    } else {
      String kind = value.getClass().getTypeName();
      String instead = value instanceof Set ? "a List" : "a String, a number, a Boolean, a List or a Map";
      throw new Unsupported(path, "a " + kind + ", which JSON does not have: pass " + instead);
    }
    return made.build();
  }

  private static ListValue listOf(List<?> list, String path, int depth) throws Unsupported {
    ListValue.Builder made = ListValue.newBuilder();
    int at = 0;
    for (Object inner : list) {
      made.addValues(valueOf(inner, path + "[" + at++ + "]", depth + 1));
    }
    return made.build();
  }

  private static Struct objectOf(Map<?, ?> map, String path, int depth) throws Unsupported {
    Struct.Builder made = Struct.newBuilder();
    for (Map.Entry<?, ?> entry : map.entrySet()) {
      String name = name(entry.getKey(), path);
      made.putFields(name, valueOf(entry.getValue(), path + "." + name, depth + 1));
    }
    return made.build();
  }

  private static String name(Object name, String path) throws Unsupported {
    if (name instanceof String text) {
      return text(text, path);
    }
    throw new Unsupported(path, "an object with a name that is no String: " + name);
  }

  private static String text(String text, String path) throws Unsupported {
    if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
      throw new Unsupported(path, "a text with half a surrogate pair, which UTF-8 lacks");
    }
    return text;
  }

  private static double finite(double number, String path) throws Unsupported {
    if (!Double.isFinite(number)) {
      throw new Unsupported(path, number + ", which JSON does not have");
    }
    return number;
  }

  private static double exact(long number, String path) throws Unsupported {
    if (number > GREATEST || number < -GREATEST) {
      throw new Unsupported(path, number + ", which binary64 does not hold exactly: pass a String");
    }
    return number;
  }
}
