/** Plain values to messages of `policyd.v1`, and back. Nothing here sends anything. */

import { randomUUID } from "node:crypto";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { anyUnpack, timestampDate } from "@bufbuild/protobuf/wkt";
import { status as codes } from "@grpc/grpc-js";
import { invalid, structOf } from "./attributes.js";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "./gen/google/rpc/status_pb.js";
import {
  type BatchCheckRequest,
  BatchCheckRequestSchema,
  type BatchCheckResult,
  type BatchPartialCheckRequest,
  BatchPartialCheckRequestSchema,
  type BatchPartialCheckResult,
  type CheckRequest,
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
  PartialOutcome,
  type PartialCheckRequest,
  PartialCheckRequestSchema,
  type PartialCheckResponse,
  type ResourceSchema,
  type SenderProofSchema,
  SubjectKind,
} from "./gen/policyd/v1/authorization_pb.js";
import {
  type Answer,
  AuthorizationFailed,
  type Batch,
  type Item,
  type Outcome,
  type PartialAnswer,
  type Proof,
  type Question,
  type Resource,
} from "./values.js";

const KINDS: Partial<Record<SubjectKind, "user" | "application">> = {
  [SubjectKind.USER]: "user",
  [SubjectKind.APPLICATION]: "application",
};

/** What a partial outcome is that this client does not know: to be shown, and never to be allowed. */
const ELSE = "maybe";
const CERTAINTIES: Partial<Record<PartialOutcome, "allow" | "deny" | "maybe">> = {
  [PartialOutcome.ALLOW]: "allow",
  [PartialOutcome.DENY]: "deny",
  [PartialOutcome.MAYBE]: "maybe",
};

/** Throws `AuthorizationFailed`. */
export function checkRequest(question: Question): CheckRequest {
  return create(CheckRequestSchema, { ...about(question), ...itemOf(question) });
}

/** Throws `AuthorizationFailed`. */
export function batchCheckRequest(batch: Batch): BatchCheckRequest {
  return create(BatchCheckRequestSchema, { ...about(batch), items: batch.items.map(itemOf) });
}

/** Throws `AuthorizationFailed`. */
export function partialCheckRequest(question: Question, unknown: readonly string[]): PartialCheckRequest {
  const assumedUnknown = [...unknown];
  return create(PartialCheckRequestSchema, { ...about(question), ...itemOf(question), assumedUnknown });
}

/** Throws `AuthorizationFailed`. */
export function batchPartialCheckRequest(batch: Batch, unknown: readonly string[]): BatchPartialCheckRequest {
  const items = batch.items.map(itemOf);
  return create(BatchPartialCheckRequestSchema, { ...about(batch), items, assumedUnknown: [...unknown] });
}

function itemOf(item: Item) {
  return { action: item.action, resource: resourceOf(item.resource) };
}

function about(asked: Omit<Question, "action" | "resource">) {
  return {
    accessToken: bareToken(asked.token),
    api: asked.api ?? "",
    context: structOf(asked.context, "context entry", "CONTEXT_INVALID"),
    requestId: requestId(asked),
    ...(asked.proof && { proof: proofOf(asked.proof) }),
  };
}

function resourceOf(resource: Resource): MessageInitShape<typeof ResourceSchema> {
  const what = `\`${resource.type}\` attribute`;
  return {
    type: resource.type,
    id: resource.id ?? "",
    properties: structOf(resource.properties, what, "ATTRIBUTE_INVALID"),
  };
}

function proofOf(proof: Proof): MessageInitShape<typeof SenderProofSchema> {
  return { ...proof, dpopProofs: [...(proof.dpopProofs ?? [])] };
}

/** Names a request with a proof: a repetition of the call is no second use of the proof. */
function requestId(asked: { readonly requestId?: string; readonly proof?: Proof }): string {
  return asked.requestId || (asked.proof ? randomUUID() : "");
}

/**
 * Takes off `Bearer ` and white space: a file that holds a token ends in a newline, and a header
 * field begins with its scheme (RFC 6750, section 2.1). What else is wrong the daemon says.
 */
export function bareToken(given: unknown): string {
  if (given === undefined || given === null) {
    return "";
  }
  if (typeof given !== "string") {
    throw invalid(`an access token is a string, and no ${typeof given}`, "TOKEN_MALFORMED");
  }
  const token = given.trim();
  if (/^bearer(?: |$)/i.test(token)) {
    return token.slice("bearer".length).trim();
  }
  if (/^dpop /i.test(token)) {
    const what = "the token has `DPoP ` before it: pass what follows, and the request's DPoP header ";
    throw invalid(`${what}fields as \`proof\``, "TOKEN_MALFORMED");
  }
  return token;
}

export function answerOf(response: CheckResponse): Answer {
  const { subject, cacheableUntil } = response;
  return {
    allowed: response.allowed,
    reason: response.reason,
    message: response.message,
    rules: response.rules,
    rulesTruncated: response.rulesTruncated,
    missingScopes: response.missingScopes,
    unknownFacts: response.unknownFacts,
    httpStatus: response.httpStatus,
    wwwAuthenticate: response.wwwAuthenticate,
    retryAfterSeconds: response.retryAfterSeconds,
    dpopNonce: response.dpopNonce,
    subject: subject && {
      subject: subject.subject,
      issuer: subject.issuer,
      client: subject.client,
      kind: KINDS[subject.kind],
      scopes: subject.scopes,
      scopesTruncated: subject.scopesTruncated,
      expiresAt: subject.expiresAt && timestampDate(subject.expiresAt),
      actor: subject.actor,
    },
    cacheableUntil: cacheableUntil && timestampDate(cacheableUntil),
    decisionId: response.decisionId,
    policyRevision: response.policyRevision,
    policyCommit: response.policyCommit,
    searchStopped: response.searchStopped,
  };
}

export function partialAnswerOf(response: PartialCheckResponse): PartialAnswer {
  return {
    outcome: CERTAINTIES[response.outcome] ?? ELSE,
    dependsOn: response.dependsOn,
    searchStopped: response.searchStopped,
    answer: answerOf(response.response ?? create(CheckResponseSchema)),
  };
}

export function outcomeOf({ outcome }: BatchCheckResult): Outcome {
  return outcome.case === "response" ? answerOf(outcome.value) : itemFailed(outcome.value);
}

export function partialOutcomeOf({
  outcome,
}: BatchPartialCheckResult): PartialAnswer | AuthorizationFailed {
  return outcome.case === "response" ? partialAnswerOf(outcome.value) : itemFailed(outcome.value);
}

function itemFailed(status: Status | undefined): AuthorizationFailed {
  return status
    ? failure(status.code, status.message, reasonOf(status))
    : failure(codes.UNKNOWN, "the answer is empty");
}

/** Returns what gRPC's code and the bytes of a google.rpc.Status, if any, mean. */
export function failed(code: number, message: string, details: unknown): AuthorizationFailed {
  return failure(code, message, details instanceof Uint8Array ? reasonIn(details) : "");
}

function failure(code: number, message: string, reason = ""): AuthorizationFailed {
  // An error that says that all is well is no answer either.
  const known = code === codes.OK ? undefined : codes[code];
  return new AuthorizationFailed(known ?? "UNKNOWN", message, reason);
}

function reasonIn(details: Uint8Array): string {
  try {
    return reasonOf(fromBinary(StatusSchema, details));
  } catch {
    return ""; // not of policyd; the code alone counts
  }
}

function reasonOf(status: Status): string {
  const found = status.details.map((detail) => anyUnpack(detail, ErrorInfoSchema)).find(Boolean);
  return found?.reason ?? "";
}
