package policyd.client;

import com.google.protobuf.ProtocolMessageEnum;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import policyd.v1.CheckRequest;
import policyd.v1.FilterCondition;
import policyd.v1.FilterConditions;
import policyd.v1.FilterOperand;
import policyd.v1.FilterRequest;
import policyd.v1.FilterResponse;
import policyd.v1.FilterTest;
import policyd.v1.FilterValue;

/** Messages of filters to plain values. */
final class Filters {
  private Filters() {}

  static FilterRequest request(Question asked) {
    CheckRequest known = Messages.checkRequest(asked);
    FilterRequest.Builder made =
        FilterRequest.newBuilder()
            .setAccessToken(known.getAccessToken())
            .setApi(known.getApi())
            .setAction(known.getAction())
            .setResourceType(asked.resource().type())
            .setContext(known.getContext())
            .setRequestId(known.getRequestId());
    if (known.hasProof()) {
      made.setProof(known.getProof());
    }
    return made.build();
  }

  /** Returns a filter; an outcome that is not known is none. */
  static Filter of(FilterResponse response) {
    Filter.Outcome outcome =
        switch (response.getOutcome()) {
          case FILTER_OUTCOME_ALL -> Filter.Outcome.ALL;
          case FILTER_OUTCOME_SOME -> Filter.Outcome.SOME;
          default -> Filter.Outcome.NONE;
        };
    List<Filter.Attribute> attributes =
        response.getAttributesList().stream()
            .map(
                one ->
                    new Filter.Attribute(
                        one.getName(),
                        named(one.getType(), "FILTER_TYPE_", "a type"),
                        one.getOptional(),
                        List.copyOf(one.getValuesList())))
            .toList();
    Instant until = null;
    if (response.hasValidUntil()) {
      until = Instant.ofEpochSecond(response.getValidUntil().getSeconds());
    }
    return new Filter(
        outcome,
        outcome == Filter.Outcome.SOME ? condition(response.getCondition()) : null,
        attributes,
        until,
        Messages.answerOf(response.getResponse()));
  }

  private static Filter.Condition condition(FilterCondition message) {
    return switch (message.getKindCase()) {
      case ALL -> new Filter.All(conditions(message.getAll()));
      case ANY -> new Filter.AnyOf(conditions(message.getAny()));
      case NEGATED -> new Filter.Not(condition(message.getNegated()));
      case HAS_SOME ->
          new Filter.HasSome(
              message.getHasSome().getAttribute(), condition(message.getHasSome().getCondition()));
      case TEST -> test(message.getTest());
      case KIND_NOT_SET -> throw unknown("a condition");
    };
  }

  private static List<Filter.Condition> conditions(FilterConditions message) {
    if (message.getConditionsCount() == 0) {
      throw unknown("an empty list of conditions");
    }
    return message.getConditionsList().stream().map(Filters::condition).toList();
  }

  private static Filter.Test test(FilterTest message) {
    return new Filter.Test(
        named(message.getOperator(), "FILTER_OPERATOR_", "a test"),
        message.hasLeft() ? operand(message.getLeft()) : null,
        message.hasRight() ? operand(message.getRight()) : null);
  }

  private static Filter.Operand operand(FilterOperand message) {
    String type = named(message.getType(), "FILTER_TYPE_", "a type");
    return switch (message.getKindCase()) {
      case ATTRIBUTE -> new Filter.OfAttribute(message.getAttribute(), type);
      case FIELD -> new Filter.OfField(message.getField(), type);
      case VALUE -> new Filter.OfValue(value(message.getValue()), type);
      case KIND_NOT_SET -> throw unknown("an operand");
    };
  }

  private static Object value(FilterValue message) {
    return switch (message.getKindCase()) {
      case TEXT -> message.getText();
      case NUMBER -> message.getNumber();
      case TRUTH -> message.getTruth();
      case SET -> message.getSet().getValuesList().stream().map(Filters::value).toList();
      case KIND_NOT_SET -> throw unknown("a value");
    };
  }

  /** Returns an enumerator in lower case, without its prefix; the first is never sent. */
  private static String named(ProtocolMessageEnum given, String prefix, String what) {
    String name = given.toString();
    if (name.equals("UNRECOGNIZED") || given.getNumber() == 0) {
      throw unknown(what);
    }
    return name.substring(prefix.length()).toLowerCase(Locale.ROOT);
  }

  /** What only a newer client knows: without it, a filter is another. */
  private static AuthorizationFailed unknown(String what) {
    String said = "the filter has " + what + " that this client does not know";
    return new AuthorizationFailed(io.grpc.Status.Code.UNKNOWN, "", said, null);
  }
}
