import { AuthorizationFailed, type Answer } from "./values.js";

/** The HTTP response to a caller who is not let in. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** policyd's reason, or `AUTHORIZATION_UNAVAILABLE` where there is no answer. */
  readonly reason: string;
  /** For people. */
  readonly message: string;
}

/** Failures that end by themselves. */
const PASSING = new Set(["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"]);
const RETRY_AFTER = 5;

/**
 * Returns the response that goes with an answer, or with what a call was rejected with; `undefined`
 * only for an answer that allows.
 *
 * A deny becomes the status and the challenge that the daemon made. No answer becomes 503 where
 * waiting may help, else 500.
 */
export function refusalOf(outcome: unknown): Refusal | undefined {
  if (!isAnswer(outcome)) {
    return unanswered(outcome);
  }
  if (outcome.allowed === true) {
    return undefined;
  }
  const headers = answerHeaders(outcome);
  if (outcome.wwwAuthenticate) {
    headers["WWW-Authenticate"] = outcome.wwwAuthenticate;
  }
  if (outcome.retryAfterSeconds > 0) {
    headers["Retry-After"] = String(outcome.retryAfterSeconds);
  }
  // Whatever an answer says besides, a deny is no success.
  const status = outcome.httpStatus >= 400 ? outcome.httpStatus : 403;
  return { status, headers, reason: outcome.reason, message: outcome.message };
}

/** Returns the header fields that go with any response, also where access is allowed. */
export function answerHeaders(answer: Answer): Record<string, string> {
  return answer.dpopNonce ? { "DPoP-Nonce": answer.dpopNonce } : {};
}

function isAnswer(outcome: unknown): outcome is Answer {
  return typeof outcome === "object" && outcome !== null && "decisionId" in outcome;
}

function unanswered(outcome: unknown): Refusal {
  const passing = outcome instanceof AuthorizationFailed && PASSING.has(outcome.code);
  return {
    status: passing ? 503 : 500,
    headers: passing ? { "Retry-After": String(RETRY_AFTER) } : {},
    reason: "AUTHORIZATION_UNAVAILABLE",
    message: "no decision could be made",
  };
}
