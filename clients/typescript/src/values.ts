/** What is asked and what is answered; each field is that of the contract's message. */

/** A JSON value. Whole numbers beyond 2**53 - 1 are written as texts. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What the action is performed on. `properties` are the attributes that its type declares. */
export interface Resource {
  readonly type: string;
  readonly id?: string;
  readonly properties?: { readonly [name: string]: Json };
}

/** What came along with a sender-bound token, as received; see `SenderProof`. */
export interface Proof {
  readonly dpopProofs?: readonly string[];
  readonly httpMethod?: string;
  readonly httpUri?: string;
  readonly clientCertificateSha256?: string;
}

/** What all questions about one token share. */
interface About {
  /** It may come with its scheme, `Bearer `, and with white space around it. */
  readonly token: string;
  /** The API's name or one of its audiences; left out only where the daemon has a `default_api`. */
  readonly api?: string;
  readonly context?: { readonly [name: string]: Json };
  readonly proof?: Proof;
  readonly requestId?: string;
}

/** One question of a batch. */
export interface Item {
  readonly action: string;
  readonly resource: Resource;
}

/** Whether the bearer of a token may do an action to a resource. */
export interface Question extends About, Item {}

/** Several questions about one token at one API. */
export interface Batch extends About {
  readonly items: readonly Item[];
}

/** Whom a verified token names: by issuer and subject together. */
export interface Subject {
  readonly subject: string;
  readonly issuer: string;
  readonly client: string;
  /** `undefined` where the token does not tell. */
  readonly kind: "user" | "application" | undefined;
  /** That the token grants. */
  readonly scopes: readonly string[];
  readonly scopesTruncated: boolean;
  /** When the token expires; `undefined` where it does not tell. */
  readonly expiresAt: Date | undefined;
  /** Who acts for the subject; empty where nobody does. */
  readonly actor: string;
}

/** The daemon's decision. Act on `allowed` alone: every answer is truthy, a deny too. */
export interface Answer {
  readonly allowed: boolean;
  readonly reason: string;
  readonly message: string;
  readonly rules: readonly string[];
  readonly rulesTruncated: boolean;
  readonly missingScopes: readonly string[];
  readonly unknownFacts: readonly string[];
  readonly httpStatus: number;
  readonly wwwAuthenticate: string;
  readonly retryAfterSeconds: number;
  readonly dpopNonce: string;
  /** `undefined` where no token was verified. */
  readonly subject: Subject | undefined;
  /** Until when the answer may be kept; `undefined`: not at all. */
  readonly cacheableUntil: Date | undefined;
  readonly decisionId: string;
  readonly policyRevision: string;
  readonly policyCommit: string;
  readonly searchStopped: boolean;
}

/** There is no answer, so there is no permission either. */
export class AuthorizationFailed extends Error {
  override readonly name = "AuthorizationFailed";
  readonly allowed = false;

  /** `code` is gRPC's, such as `UNAVAILABLE`; `reason` policyd's own, empty where it gave none. */
  constructor(
    readonly code: string,
    message: string,
    readonly reason = "",
  ) {
    super(message);
  }
}

/** What came of one question. */
export type Outcome = Answer | AuthorizationFailed;

/**
 * What is certain of a question of which some facts are unknown. A menu shows what is not `deny`.
 * Its `answer` allows with `allow` alone: before acting on a `maybe`, ask again with what is known
 * by then.
 */
export interface PartialAnswer {
  readonly outcome: "allow" | "deny" | "maybe";
  readonly dependsOn: readonly string[];
  readonly searchStopped: boolean;
  readonly answer: Answer;
}
