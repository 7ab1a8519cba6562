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
  type CheckRequest,
  CheckRequestSchema,
  type CheckResponse,
  type ResourceSchema,
  type SenderProofSchema,
  SubjectKind,
} from "./gen/policyd/v1/authorization_pb.js";
import {
  type Answer,
  AuthorizationFailed,
  type Batch,
  type Outcome,
  type Proof,
  type Question,
  type Resource,
} from "./values.js";

const KINDS: Partial<Record<SubjectKind, "user" | "application">> = {
  [SubjectKind.USER]: "user",
  [SubjectKind.APPLICATION]: "application",
};

/** Throws `AuthorizationFailed`. */
export function checkRequest(question: Question): CheckRequest {
  return create(CheckRequestSchema, {
    ...about(question),
    action: question.action,
    resource: resourceOf(question.resource),
  });
}

/** Throws `AuthorizationFailed`. */
export function batchCheckRequest(batch: Batch): BatchCheckRequest {
  return create(BatchCheckRequestSchema, {
    ...about(batch),
    items: batch.items.map((item) => ({ action: item.action, resource: resourceOf(item.resource) })),
  });
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
    },
    cacheableUntil: cacheableUntil && timestampDate(cacheableUntil),
    decisionId: response.decisionId,
    policyRevision: response.policyRevision,
    searchStopped: response.searchStopped,
  };
}

export function outcomeOf(result: BatchCheckResult): Outcome {
  switch (result.outcome.case) {
    case "response":
      return answerOf(result.outcome.value);
    case "error": {
      const { code, message } = result.outcome.value;
      return failure(code, message, reasonOf(result.outcome.value));
    }
    default:
      return failure(codes.UNKNOWN, "the answer is empty");
  }
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
