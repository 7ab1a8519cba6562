package policyd.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.Gson;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The cases that all clients share, against a daemon: see {@code ../contract/README.md}. */
class ContractTest {
  private static final Gson GSON = new Gson();

  record Site(
      String cases, Map<String, String> targets, Map<String, String> tokens, Map<String, String> files) {
    String token(String template) {
      for (Map.Entry<String, String> one : tokens.entrySet()) {
        template = template.replace("{" + one.getKey() + "}", one.getValue());
      }
      return template;
    }
  }

  record Cases(List<Case> questions, List<Case> batches, List<Case> connections) {}

  record Case(
      String name,
      String token,
      String api,
      String action,
      Place resource,
      Map<String, Object> context,
      Shown proof,
      List<String> unknown,
      Wanted filter,
      List<Item> items,
      List<Expected> results,
      String target,
      String authorities,
      String certificate,
      String private_key,
      Integer timeout_ms,
      Decided answer,
      Certain partial,
      Failure error,
      Refused refusal) {
    Expected expected() {
      return new Expected(answer, partial, error, refusal);
    }
  }

  record Wanted(String outcome, Map<String, Object> condition, List<Map<String, Object>> attributes) {}

  record Shown(
      List<String> dpop_proofs,
      String http_method,
      String http_uri,
      String client_certificate_sha256) {
    Proof asked() {
      return new Proof(
          orNone(dpop_proofs),
          orNone(http_method),
          orNone(http_uri),
          orNone(client_certificate_sha256));
    }
  }

  record Item(String action, Place resource) {
    Batch.Item asked() {
      return new Batch.Item(action, resource.asked());
    }
  }

  record Place(String type, String id, Map<String, Object> properties) {
    Resource asked() {
      return new Resource(type, id == null ? "" : id, object(properties));
    }
  }

  record Expected(Decided answer, Certain partial, Failure error, Refused refusal) {}

  record Certain(String outcome, List<String> depends_on) {}

  record Named(String subject, String issuer, String client, String kind, List<String> scopes) {}

  record Decided(
      boolean allowed,
      String reason,
      int http_status,
      String www_authenticate,
      List<String> rules,
      List<String> missing_scopes,
      List<String> unknown_facts,
      Named subject,
      Boolean cacheable) {}

  record Failure(String code, String reason, String names) {}

  record Refused(int status, Map<String, String> headers) {}

  private static <T> T read(String path, Class<T> type) {
    try {
      return GSON.fromJson(Files.readString(Path.of(path)), type);
    } catch (IOException unreadable) {
      throw new UncheckedIOException(unreadable);
    }
  }

  private static Site site() {
    String path = System.getenv("POLICYD_CONTRACT");
    assumeTrue(path != null, "`make interop` starts the daemon and names it in POLICYD_CONTRACT");
    return read(path, Site.class);
  }

  private static Map<String, Object> object(Map<String, Object> given) {
    Map<String, Object> made = new HashMap<>();
    if (given != null) {
      given.forEach((name, value) -> made.put(name, instance(value)));
    }
    return made;
  }

  /** Replaces {"$native": KIND} by what Java has and JSON lacks. */
  @SuppressWarnings("unchecked")
  private static Object instance(Object given) {
    if (given instanceof List<?> list) {
      List<Object> made = new ArrayList<>();
      list.forEach(one -> made.add(instance(one)));
      return made;
    }
    if (!(given instanceof Map<?, ?> map)) {
      return given;
    }
    if (!map.containsKey("$native")) {
      return object((Map<String, Object>) map);
    }
    return switch ((String) map.get("$native")) {
      case "nan" -> Double.NaN;
      case "infinity" -> Double.POSITIVE_INFINITY;
      case "big-integer" -> (1L << 53) + 1;
      case "bytes" -> new byte[] {120};
      case "date" -> Instant.now();
      case "set" -> Set.of("a");
      case "broken-text" -> "\ud800";
      case "deep" -> {
        Map<String, Object> endless = new HashMap<>();
        endless.put("x", endless);
        yield endless;
      }
      default -> throw new AssertionError("a new kind of value: " + map);
    };
  }

  private static void judge(Expected want, Outcome got) {
    if (got instanceof Answer answer) {
      assertNotNull(want.answer, answer.reason());
      judgeAnswer(want.answer, answer);
    } else if (got instanceof AuthorizationFailed failed) {
      assertNotNull(want.error, failed.getMessage());
      assertEquals(want.error.code, failed.code().name(), failed.getMessage());
      assertEquals(want.error.reason, failed.reason());
      String name = want.error.names == null ? "" : "`" + want.error.names;
      assertTrue(failed.getMessage().contains(name), failed.getMessage());
      assertFalse(failed.allowed());
    }
    assertEquals(want.refusal == null, got.refusal().isEmpty());
    got.refusal()
        .ifPresent(
            refused -> {
              assertEquals(want.refusal.status, refused.status());
              assertEquals(want.refusal.headers, refused.headers());
            });
  }

  private static void judgePartial(Expected want, PartialOutcome got) {
    if (got instanceof PartialAnswer partial) {
      judge(want, partial.answer());
      assertEquals(want.partial.outcome, partial.outcome().name().toLowerCase());
      assertEquals(orNone(want.partial.depends_on), partial.dependsOn());
    } else if (got instanceof AuthorizationFailed failed) {
      judge(want, failed);
    }
  }

  private static void judgeFilter(Client client, Question asked, Case one) {
    if (one.error != null) {
      judge(one.expected(), assertThrows(AuthorizationFailed.class, () -> client.filter(asked)));
      return;
    }
    Filter got = client.filter(asked);
    judge(one.expected(), got.answer());
    assertEquals(one.filter.outcome, got.outcome().name().toLowerCase());
    assertEquals(one.filter.condition, got.condition() == null ? null : shape(got.condition()));
    List<Map<String, Object>> attributes = new ArrayList<>();
    for (Filter.Attribute attribute : got.attributes()) {
      Map<String, Object> made = new HashMap<>();
      made.put("name", attribute.name());
      made.put("type", attribute.type());
      if (attribute.optional()) {
        made.put("optional", true);
      }
      if (!attribute.values().isEmpty()) {
        made.put("values", attribute.values());
      }
      attributes.add(made);
    }
    assertEquals(one.filter.attributes == null ? List.of() : one.filter.attributes, attributes);
    if (one.answer.cacheable != null) {
      assertEquals(one.answer.cacheable, got.validUntil() != null);
    }
  }

  /** Returns a condition as the cases write it. */
  private static Map<String, Object> shape(Filter.Condition given) {
    if (given instanceof Filter.All all) {
      return Map.of("all", all.conditions().stream().map(ContractTest::shape).toList());
    }
    if (given instanceof Filter.AnyOf any) {
      return Map.of("any", any.conditions().stream().map(ContractTest::shape).toList());
    }
    if (given instanceof Filter.Not not) {
      return Map.of("not", shape(not.condition()));
    }
    if (given instanceof Filter.HasSome some) {
      return Map.of("has_some", some.attribute(), "of", shape(some.condition()));
    }
    Filter.Test test = (Filter.Test) given;
    Map<String, Object> made = new HashMap<>();
    made.put("test", test.operator());
    if (test.left() != null) {
      made.put("left", shape(test.left()));
    }
    if (test.right() != null) {
      made.put("right", shape(test.right()));
    }
    return made;
  }

  private static Map<String, Object> shape(Filter.Operand given) {
    if (given instanceof Filter.OfAttribute attribute) {
      return Map.of("attribute", attribute.name(), "type", attribute.type());
    }
    if (given instanceof Filter.OfField field) {
      return Map.of("field", field.name(), "type", field.type());
    }
    Filter.OfValue value = (Filter.OfValue) given;
    return Map.of("value", plain(value.value()), "type", value.type());
  }

  /** Numbers as Gson reads them. */
  private static Object plain(Object given) {
    if (given instanceof List<?> list) {
      return list.stream().map(ContractTest::plain).toList();
    }
    return given instanceof Long number ? (Object) number.doubleValue() : given;
  }

  private static void judgeAnswer(Decided want, Answer got) {
    assertEquals(want.allowed, got.allowed());
    assertEquals(want.reason, got.reason());
    assertEquals(want.http_status, got.httpStatus());
    assertEquals(orNone(want.www_authenticate), got.wwwAuthenticate());
    assertEquals(orNone(want.rules), got.rules());
    assertEquals(orNone(want.missing_scopes), got.missingScopes());
    assertEquals(orNone(want.unknown_facts), got.unknownFacts());
    assertFalse(got.decisionId().isEmpty() || got.policyRevision().isEmpty());
    if (want.cacheable != null) {
      assertEquals(want.cacheable, got.cacheableUntil() != null);
    }
    if (want.subject != null) {
      Subject subject = got.subject();
      String kind = subject.kind().name().toLowerCase();
      assertEquals(
          want.subject,
          new Named(subject.subject(), subject.issuer(), subject.client(), kind, subject.scopes()));
      assertEquals(want.allowed, subject.expiresAt().isAfter(Instant.now()));
    }
  }

  private static String orNone(String text) {
    return text == null ? "" : text;
  }

  private static List<String> orNone(List<String> texts) {
    return texts == null ? List.of() : texts;
  }

  @TestFactory
  Stream<DynamicTest> questions() {
    Site site = site();
    Client client = Client.to(site.targets.get("tcp")).build();
    return read(site.cases, Cases.class).questions.stream()
        .map(
            one ->
                DynamicTest.dynamicTest(
                    one.name,
                    () -> {
                      Question asked =
                          new Question(
                                  site.token(one.token), one.api, one.action, one.resource.asked())
                              .withContext(object(one.context))
                              .withProof(one.proof == null ? null : one.proof.asked());
                      if (one.filter != null) {
                        judgeFilter(client, asked, one);
                      } else if (one.unknown == null) {
                        judge(one.expected(), outcome(client, asked));
                      } else {
                        judgePartial(one.expected(), outcome(client, asked, one.unknown));
                      }
                    }))
        .onClose(client::close);
  }

  @TestFactory
  Stream<DynamicTest> batches() {
    Site site = site();
    Client client = Client.to(site.targets.get("tcp")).build();
    return read(site.cases, Cases.class).batches.stream()
        .map(one -> DynamicTest.dynamicTest(one.name, () -> judgeBatch(client, site, one)))
        .onClose(client::close);
  }

  private static void judgeBatch(Client client, Site site, Case one) {
    List<Batch.Item> items = one.items.stream().map(Item::asked).toList();
    Batch batch = new Batch(site.token(one.token), one.api, items);
    if (one.error != null) {
      judge(one.expected(), assertThrows(AuthorizationFailed.class, () -> client.batchCheck(batch)));
      return;
    }
    if (one.unknown != null) {
      List<PartialOutcome> certain = client.batchPartialCheck(batch, one.unknown);
      assertEquals(one.results.size(), certain.size());
      for (int at = 0; at < certain.size(); at++) {
        judgePartial(one.results.get(at), certain.get(at));
      }
      return;
    }
    List<Outcome> outcomes = client.batchCheck(batch);
    assertEquals(one.results.size(), outcomes.size());
    for (int at = 0; at < outcomes.size(); at++) {
      judge(one.results.get(at), outcomes.get(at));
    }
  }

  @TestFactory
  Stream<DynamicTest> connections() {
    Site site = site();
    return read(site.cases, Cases.class).connections.stream()
        .map(one -> DynamicTest.dynamicTest(one.name, () -> judgeConnection(site, one)));
  }

  private static void judgeConnection(Site site, Case one) throws IOException {
    Client.Builder builder = Client.to(site.targets.get(one.target));
    if (one.authorities != null) {
      builder.authorities(file(site, one.authorities));
    }
    if (one.certificate != null) {
      builder.identity(file(site, one.certificate), file(site, one.private_key));
    }
    if (one.timeout_ms != null) {
      builder.timeout(Duration.ofMillis(one.timeout_ms));
    }
    Resource patient = new Resource("patient", "p1", Map.of("sealed", false));
    try (Client client = builder.build()) {
      Question asked = new Question(site.token("{reader}"), "health", "read", patient);
      judge(one.expected(), outcome(client, asked));
    }
  }

  private static byte[] file(Site site, String name) throws IOException {
    return Files.readAllBytes(Path.of(site.files.get(name)));
  }

  private static Outcome outcome(Client client, Question asked) {
    try {
      return client.check(asked);
    } catch (AuthorizationFailed failed) {
      return failed;
    }
  }

  private static PartialOutcome outcome(Client client, Question asked, List<String> unknown) {
    try {
      return client.partialCheck(asked, unknown);
    } catch (AuthorizationFailed failed) {
      return failed;
    }
  }

  @Test
  void whatDoesNotFitTogetherIsRefused() {
    for (Client.Builder builder :
        List.of(
            Client.to("127.0.0.1:1").timeout(Duration.ZERO),
            Client.to("127.0.0.1:1").attempts(0),
            Client.to("127.0.0.1:1").attempts(6),
            Client.to("127.0.0.1:1").identity(new byte[0], new byte[0]))) {
      assertThrows(IllegalArgumentException.class, builder::build);
    }
  }

  @Test
  void aQuestionDoesNotShowItsToken() {
    Resource patient = new Resource("patient", "p1");
    assertFalse(new Question("secret", "", "read", patient).toString().contains("secret"));
    assertFalse(new Batch("secret", "", List.of()).toString().contains("secret"));
  }
}
