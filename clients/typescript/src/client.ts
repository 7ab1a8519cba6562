/** `Client`: how the daemon is reached. An `Answer` exists only where the daemon gave one. */

import { type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Client as Channel, type ClientOptions as ChannelOptions, credentials, type ServiceError } from "@grpc/grpc-js";
import { AuthorizationService } from "./gen/policyd/v1/authorization_pb.js";
import { type Filter, filterOf, filterRequest } from "./filter.js";
import {
  answerOf,
  batchCheckRequest,
  batchPartialCheckRequest,
  checkRequest,
  failed,
  outcomeOf,
  partialAnswerOf,
  partialCheckRequest,
  partialOutcomeOf,
} from "./messages.js";
import {
  type Answer,
  AuthorizationFailed,
  type Batch,
  type Outcome,
  type PartialAnswer,
  type Question,
} from "./values.js";

const DETAILS = "grpc-status-details-bin";
/** gRPC makes no more. */
const MOST_ATTEMPTS = 5;

/** How a client asks. Certificates and keys are in PEM. */
export interface ClientOptions {
  /** Milliseconds for each call, repetitions included; 5000 by default. */
  readonly timeout?: number;
  /** One of these must have issued the daemon's certificate. Without it: plain text. */
  readonly authorities?: Uint8Array;
  /** The client's own, for a daemon that asks for one. */
  readonly certificate?: Uint8Array;
  readonly privateKey?: Uint8Array;
  /** How often a call is made in all while the daemon is unavailable; 1 to 5, 4 by default. */
  readonly attempts?: number;
}

/** Asks the daemon at a target: `host:port`, or `unix:PATH`. It connects with the first question. */
export class Client {
  readonly #channel: Channel;
  readonly #timeout: number;

  /** Throws `RangeError` and `TypeError` where the options do not fit together. */
  constructor(target: string, options: ClientOptions = {}) {
    const { timeout = 5000, attempts = 4 } = options;
    if (!Number.isFinite(timeout) || timeout <= 0) {
      throw new RangeError("timeout is a positive number of milliseconds");
    }
    if (!Number.isInteger(attempts) || attempts < 1 || attempts > MOST_ATTEMPTS) {
      throw new RangeError(`attempts is a number from 1 to ${MOST_ATTEMPTS}`);
    }
    this.#timeout = timeout;
    this.#channel = new Channel(target, identity(options), retries(attempts));
  }

  /** Ends the connection. */
  close(): void {
    this.#channel.close();
  }

  /** Asks one question. A deny is an answer. Rejects with `AuthorizationFailed`. */
  async check(question: Question): Promise<Answer> {
    return answerOf(await this.#call(AuthorizationService.method.check, checkRequest(question)));
  }

  /**
   * Asks several questions about one token; the outcomes are in the order of the items. One bad item
   * fails no other. Rejects with `AuthorizationFailed`.
   */
  async batchCheck(batch: Batch): Promise<Outcome[]> {
    const request = batchCheckRequest(batch);
    const { results } = await this.#call(AuthorizationService.method.batchCheck, request);
    return each(batch, results).map(outcomeOf);
  }

  /**
   * Asks what is certain of a question while some facts are unknown. They are named as a policy names
   * them, such as `resource.amount`; `resource` and `context` are all that they have. Rejects with
   * `AuthorizationFailed`.
   */
  async partialCheck(question: Question, unknown: readonly string[]): Promise<PartialAnswer> {
    const request = partialCheckRequest(question, unknown);
    return partialAnswerOf(await this.#call(AuthorizationService.method.partialCheck, request));
  }

  /**
   * Asks several such questions about one token: which entries a menu has. The outcomes are in the
   * order of the items. Rejects with `AuthorizationFailed`.
   */
  async batchPartialCheck(
    batch: Batch,
    unknown: readonly string[],
  ): Promise<(PartialAnswer | AuthorizationFailed)[]> {
    const request = batchPartialCheckRequest(batch, unknown);
    const { results } = await this.#call(AuthorizationService.method.batchPartialCheck, request);
    return each(batch, results).map(partialOutcomeOf);
  }

  /**
   * Asks on which resources of the question's type its action is allowed: a condition for the query
   * of whoever has them. Of the question's resource the type alone counts. What this client does not
   * know of a newer daemon's filter is a failure. Rejects with `AuthorizationFailed`.
   */
  async filter(question: Question): Promise<Filter> {
    return filterOf(await this.#call(AuthorizationService.method.filter, filterRequest(question)));
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageShape<I>,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      this.#channel.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        request,
        { deadline: Date.now() + this.#timeout },
        (error, response) => {
          if (error || !response) {
            reject(failureOf(error));
          } else {
            resolve(response);
          }
        },
      );
    });
  }
}

function each<R>(batch: Batch, results: R[]): R[] {
  if (results.length !== batch.items.length) {
    throw new AuthorizationFailed("UNKNOWN", "the daemon did not answer each item of the batch");
  }
  return results;
}

function failureOf(error: ServiceError | null): AuthorizationFailed {
  if (!error) {
    return new AuthorizationFailed("UNKNOWN", "the daemon gave no answer");
  }
  return failed(error.code, error.details, error.metadata?.get(DETAILS)[0]);
}

function identity({ authorities, certificate, privateKey }: ClientOptions) {
  if ((certificate === undefined) !== (privateKey === undefined)) {
    throw new TypeError("a certificate needs its privateKey, and the key its certificate");
  }
  if (!authorities) {
    if (certificate) {
      throw new TypeError("a certificate is shown over TLS: pass the daemon's authorities");
    }
    return credentials.createInsecure();
  }
  const buffer = (pem: Uint8Array | undefined) => (pem ? Buffer.from(pem) : null);
  return credentials.createSsl(buffer(authorities), buffer(privateKey), buffer(certificate));
}

/** Has gRPC repeat calls to an unavailable daemon, with growing pauses, never past the deadline. */
function retries(attempts: number): ChannelOptions {
  if (attempts === 1) {
    return { "grpc.enable_retries": 0 };
  }
  const retryPolicy = {
    maxAttempts: attempts,
    initialBackoff: "0.05s",
    maxBackoff: "1s",
    backoffMultiplier: 3,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  const methodConfig = [{ name: [{ service: AuthorizationService.typeName }], retryPolicy }];
  return { "grpc.service_config": JSON.stringify({ methodConfig }) };
}
