package policyd.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import policyd.v1.AuthorizationServiceGrpc;
import policyd.v1.AuthorizationServiceGrpc.AuthorizationServiceBlockingStub;

/** Asks one daemon. Threads may share it. An answer exists only where the daemon gave one. */
public final class Client implements AutoCloseable {
  private static final int MOST_ATTEMPTS = 5; // gRPC makes no more
  private static final Duration PATIENCE = Duration.ofSeconds(1);

  private final ManagedChannel channel;
  private final Duration timeout;

  private Client(ManagedChannel channel, Duration timeout) {
    this.channel = channel;
    this.timeout = timeout;
  }

  /** Begins a client of the daemon at {@code host:port}, or {@code unix:PATH} on Linux. */
  public static Builder to(String target) {
    return new Builder(target);
  }

  /**
   * Asks one question. A deny is an answer.
   *
   * @throws AuthorizationFailed where there is no answer
   */
  public Answer check(Question question) {
    var request = Messages.checkRequest(question);
    try {
      return Messages.answerOf(stub().check(request));
    } catch (StatusRuntimeException error) {
      throw Messages.failed(error);
    }
  }

  /**
   * Asks several questions about one token; the outcomes are in the order of the items. One bad item
   * fails no other.
   *
   * @throws AuthorizationFailed where there is no answer to any of them
   */
  public List<Outcome> batchCheck(Batch batch) {
    var request = Messages.batchCheckRequest(batch);
    try {
      var results = stub().batchCheck(request).getResultsList();
      return each(batch, results).stream().map(Messages::outcomeOf).toList();
    } catch (StatusRuntimeException error) {
      throw Messages.failed(error);
    }
  }

  /**
   * Asks what is certain of a question while some facts are unknown.
   *
   * @param unknown as a policy names them, such as {@code resource.amount}; {@code resource} and
   *     {@code context} are all that they have
   * @throws AuthorizationFailed where there is no answer
   */
  public PartialAnswer partialCheck(Question question, List<String> unknown) {
    var request = Messages.partialCheckRequest(question, unknown);
    try {
      return Messages.partialAnswerOf(stub().partialCheck(request));
    } catch (StatusRuntimeException error) {
      throw Messages.failed(error);
    }
  }

  /**
   * Asks several such questions about one token: which entries a menu has. The outcomes are in the
   * order of the items.
   *
   * @throws AuthorizationFailed where there is no answer to any of them
   */
  public List<PartialOutcome> batchPartialCheck(Batch batch, List<String> unknown) {
    var request = Messages.batchPartialCheckRequest(batch, unknown);
    try {
      var results = stub().batchPartialCheck(request).getResultsList();
      return each(batch, results).stream().map(Messages::partialOutcomeOf).toList();
    } catch (StatusRuntimeException error) {
      throw Messages.failed(error);
    }
  }

  /**
   * Asks on which resources of the question's type its action is allowed: a condition for the query
   * of whoever has them. Of the question's resource the type alone counts.
   *
   * @throws AuthorizationFailed where there is no answer, and where a newer daemon's filter has what
   *     this client does not know
   */
  public Filter filter(Question question) {
    var request = Filters.request(question);
    try {
      return Filters.of(stub().filter(request));
    } catch (StatusRuntimeException error) {
      throw Messages.failed(error);
    }
  }

  private static <R> List<R> each(Batch batch, List<R> results) {
    if (results.size() != batch.items().size()) {
      String what = "the daemon did not answer each item of the batch";
      throw new AuthorizationFailed(Status.Code.UNKNOWN, "", what, null);
    }
    return results;
  }

  /** Ends the connection. */
  @Override
  public void close() {
    channel.shutdown();
    try {
      channel.awaitTermination(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    } finally {
      channel.shutdownNow();
    }
  }

  private AuthorizationServiceBlockingStub stub() {
    return AuthorizationServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** How a client asks. Certificates and keys are in PEM. */
  public static final class Builder {
    private final String target;
    private byte[] authorities;
    private byte[] certificate;
    private byte[] privateKey;
    private Duration timeout = Duration.ofSeconds(5);
    private int attempts = 4;

    private Builder(String target) {
      this.target = target;
    }

    /** One of these must have issued the daemon's certificate. Without it: plain text. */
    public Builder authorities(byte[] pem) {
      this.authorities = pem.clone();
      return this;
    }

    /** What a daemon is shown that asks for a certificate. */
    public Builder identity(byte[] certificate, byte[] privateKey) {
      this.certificate = certificate.clone();
      this.privateKey = privateKey.clone();
      return this;
    }

    /** For each call, repetitions included; by default 5 seconds. */
    public Builder timeout(Duration timeout) {
      this.timeout = timeout;
      return this;
    }

    /**
     * How often a call is made in all while the daemon is unavailable; from 1 to 5, by default 4. No
     * other error is repeated: it would be the same again.
     */
    public Builder attempts(int attempts) {
      this.attempts = attempts;
      return this;
    }

    /**
     * Returns the client; it connects with the first question.
     *
     * @throws IllegalArgumentException where these do not fit together
     */
    public Client build() {
      if (timeout.isZero() || timeout.isNegative()) {
        throw new IllegalArgumentException("the timeout must be positive");
      }
      if (attempts < 1 || attempts > MOST_ATTEMPTS) {
        throw new IllegalArgumentException("attempts is a number from 1 to " + MOST_ATTEMPTS);
      }
      ManagedChannelBuilder<?> channel = Grpc.newChannelBuilder(target, credentials());
      if (attempts > 1) {
        channel.enableRetry().defaultServiceConfig(retries());
      } else {
        channel.disableRetry();
      }
      return new Client(channel.build(), timeout);
    }

    private ChannelCredentials credentials() {
      if (authorities == null) {
        if (certificate != null) {
          throw new IllegalArgumentException(
              "a certificate is shown over TLS: pass the daemon's authorities");
        }
        return InsecureChannelCredentials.create();
      }
      try {
        var made =
            TlsChannelCredentials.newBuilder().trustManager(new ByteArrayInputStream(authorities));
        if (certificate != null) {
          made.keyManager(
              new ByteArrayInputStream(certificate), new ByteArrayInputStream(privateKey));
        }
        return made.build();
      } catch (IOException unreadable) {
        throw new IllegalArgumentException("the certificates cannot be read", unreadable);
      }
    }

    /** Has gRPC repeat calls to an unavailable daemon, with growing pauses. */
    private Map<String, ?> retries() {
      Map<String, ?> policy =
          Map.of(
              "maxAttempts", (double) attempts,
              "initialBackoff", "0.05s",
              "maxBackoff", "1s",
              "backoffMultiplier", 3.0,
              "retryableStatusCodes", List.of("UNAVAILABLE"));
      Map<String, ?> service = Map.of("service", AuthorizationServiceGrpc.SERVICE_NAME);
      Map<String, ?> method = Map.of("name", List.of(service), "retryPolicy", policy);
      return Map.of("methodConfig", List.of(method));
    }
  }
}
