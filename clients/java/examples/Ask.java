import java.util.Map;
import policyd.client.AuthorizationFailed;
import policyd.client.Client;
import policyd.client.Outcome;
import policyd.client.Question;
import policyd.client.Resource;

class Ask {
  public static void main(String[] arguments) {
    Resource patient = new Resource("patient", "p1", Map.of("sealed", false));
    try (Client client = Client.to("127.0.0.1:8181").build()) {
      Question question = new Question(System.getenv("TOKEN"), "health", "read", patient);
      ask(client, question)
          .refusal()
          .ifPresentOrElse(
              refused -> System.out.println(refused.status() + " " + refused.headers()),
              () -> System.out.println("allowed"));
    }
  }

  static Outcome ask(Client client, Question question) {
    try {
      return client.check(question);
    } catch (AuthorizationFailed failed) {
      return failed;
    }
  }
}
