package policyd.client;

import java.time.Instant;
import java.util.List;

/**
 * On which resources an action is allowed; the contract's message FilterResponse says what each part
 * means. Nothing may be decided by it from {@code validUntil} on, and where that is null it is used
 * once, at once.
 *
 * <p>A resource is allowed when the condition, which there is with {@code SOME} alone, is true of
 * it, and all attributes are as they are declared: one that is not optional has a value, and where
 * there are values, it is one of these or holds no others. A test of an attribute without a value is
 * unknown, and so a filter must not be written for a database by two-valued logic.
 *
 * @param condition null but with {@code SOME}
 * @param attributes what a resource of the type has
 * @param validUntil until when it stands; null: not to be kept
 * @param answer as a partial check gives it with all of the resource unknown
 */
public record Filter(
    Outcome outcome,
    Condition condition,
    List<Attribute> attributes,
    Instant validUntil,
    Answer answer) {
  /** What is certain of all resources of the type. */
  public enum Outcome {
    /** No resource. */
    NONE,
    /** Those of which the condition is true. */
    SOME,
    /** All that have the attributes that their type declares. */
    ALL
  }

  /**
   * What a resource of the type has.
   *
   * @param type that of the contract in lower case, such as {@code set_of_string}
   * @param values the only texts that it may be or hold; empty where it may be any
   */
  public record Attribute(String name, String type, boolean optional, List<String> values) {}

  /** A condition on a resource. */
  public sealed interface Condition permits All, AnyOf, Not, HasSome, Test {}

  /** All of these are true. */
  public record All(List<Condition> conditions) implements Condition {}

  /** One of these is true. */
  public record AnyOf(List<Condition> conditions) implements Condition {}

  /** This is false. */
  public record Not(Condition condition) implements Condition {}

  /** The condition is true of one element of an attribute that is a list of records. */
  public record HasSome(String attribute, Condition condition) implements Condition {}

  /**
   * A test.
   *
   * @param operator that of the contract in lower case, such as {@code starts_with}
   * @param left null where it has none
   * @param right null where it has none
   */
  public record Test(String operator, Operand left, Operand right) implements Condition {}

  /** What a test compares, and its type. */
  public sealed interface Operand permits OfAttribute, OfField, OfValue {}

  /** An attribute of the resource. */
  public record OfAttribute(String name, String type) implements Operand {}

  /** A field of an element, in the condition of a {@code HasSome}. */
  public record OfField(String name, String type) implements Operand {}

  /**
   * A value.
   *
   * @param value a String (also a decimal number, an address, a block), a Long (also a moment, in
   *     seconds since 1970), a Boolean, or a List of these
   */
  public record OfValue(Object value, String type) implements Operand {}
}
