/** The cases that all clients share, against a daemon: see `../../contract/README.md`. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  type Answer,
  AuthorizationFailed,
  Client,
  type ClientOptions,
  type Filter,
  type FilterCondition,
  type FilterOperand,
  type Json,
  type Outcome,
  type PartialAnswer,
  type Proof,
  type Resource,
  refusalOf,
} from "policyd-client";

interface Expected {
  answer?: Record<string, unknown>;
  partial?: { outcome: string; depends_on?: string[] };
  error?: { code: string; reason: string; names?: string };
  refusal?: { status: number; headers: Record<string, string> };
}
interface Item {
  action: string;
  resource: Resource;
}
interface Question extends Expected, Item {
  name: string;
  token: string;
  api: string;
  context?: Record<string, Json>;
  unknown?: string[];
  filter?: { outcome: string; condition?: object; attributes?: object[] };
  proof?: {
    dpop_proofs?: string[];
    http_method?: string;
    http_uri?: string;
    client_certificate_sha256?: string;
  };
}
interface Batch extends Expected {
  name: string;
  token: string;
  api: string;
  items: Item[];
  unknown?: string[];
  results?: Expected[];
}
interface Connection extends Expected {
  name: string;
  target: string;
  authorities?: string;
  certificate?: string;
  private_key?: string;
  timeout_ms?: number;
}
interface Cases {
  questions: Question[];
  batches: Batch[];
  connections: Connection[];
}
interface Site {
  cases: string;
  targets: Record<string, string>;
  tokens: Record<string, string>;
  files: Record<string, string>;
}

const path = process.env.POLICYD_CONTRACT;
const skip = path ? false : "`make interop` starts the daemon and names it in POLICYD_CONTRACT";
const read = <T>(file: string): T => JSON.parse(readFileSync(file, "utf8")) as T;
const site: Site = path ? read(path) : { cases: "", targets: {}, tokens: {}, files: {} };
const cases: Cases = path ? read(site.cases) : { questions: [], batches: [], connections: [] };

function target(name: string): string {
  const found = site.targets[name];
  assert.ok(found, name);
  return found;
}

function token(template: string): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => site.tokens[name] ?? whole);
}

const endless: Record<string, unknown> = {};
endless.x = endless;
const NATIVES: Record<string, unknown> = {
  nan: Number.NaN,
  infinity: Number.POSITIVE_INFINITY,
  "big-integer": 2 ** 53 + 2,
  bytes: new Uint8Array([120]),
  date: new Date(),
  set: new Set(["a"]),
  "broken-text": "\ud800",
  deep: endless,
};

/** Replaces `{"$native": KIND}` by what JavaScript has and JSON lacks. */
function native<T>(value: T): T {
  const made = (given: unknown): unknown => {
    if (Array.isArray(given)) {
      return given.map(made);
    }
    if (typeof given !== "object" || given === null) {
      return given;
    }
    if ("$native" in given) {
      assert.ok(String(given.$native) in NATIVES, String(given.$native));
      return NATIVES[String(given.$native)];
    }
    return Object.fromEntries(Object.entries(given).map(([name, inner]) => [name, made(inner)]));
  };
  return made(value) as T;
}

function proofOf(given: NonNullable<Question["proof"]>): Proof {
  return {
    dpopProofs: given.dpop_proofs ?? [],
    httpMethod: given.http_method ?? "",
    httpUri: given.http_uri ?? "",
    clientCertificateSha256: given.client_certificate_sha256 ?? "",
  };
}

/** Returns what a call resolves or rejects with. */
async function settled<T>(call: Promise<T>): Promise<T | AuthorizationFailed> {
  try {
    return await call;
  } catch (error) {
    assert.ok(error instanceof AuthorizationFailed, String(error));
    return error;
  }
}

function judge(want: Expected, got: Outcome): void {
  if (got instanceof AuthorizationFailed) {
    assert.ok(want.error, `${got.code} ${got.message}`);
    assert.deepEqual([got.code, got.reason], [want.error.code, want.error.reason], got.message);
    assert.ok(got.message.includes(want.error.names ? `\`${want.error.names}` : ""), got.message);
    assert.equal(got.allowed, false);
  } else {
    judgeAnswer(want.answer, got);
  }
  const refused = refusalOf(got);
  assert.deepEqual(refused && { status: refused.status, headers: refused.headers }, want.refusal);
}

function judgeAnswer(want: Record<string, unknown> | undefined, got: Answer): void {
  assert.ok(want, got.reason);
  const seen = {
    allowed: got.allowed,
    reason: got.reason,
    http_status: got.httpStatus,
    www_authenticate: got.wwwAuthenticate,
    rules: got.rules,
    missing_scopes: got.missingScopes,
    unknown_facts: got.unknownFacts,
    subject: want.subject && subjectOf(got, want.subject),
    cacheable: "cacheable" in want ? got.cacheableUntil !== undefined : undefined,
  };
  const unset = { www_authenticate: "", rules: [], missing_scopes: [], unknown_facts: [] };
  assert.deepEqual(seen, { ...unset, subject: undefined, cacheable: undefined, ...want });
  assert.ok(got.decisionId && got.policyRevision);
}

/** Returns what a case says of the subject. */
function subjectOf({ allowed, subject }: Answer, want: object) {
  assert.ok(subject?.expiresAt);
  assert.equal(subject.expiresAt.getTime() > Date.now(), allowed);
  return Object.fromEntries(Object.entries(subject).filter(([name]) => name in want));
}

function judgePartial(want: Expected, got: PartialAnswer | AuthorizationFailed): void {
  if (got instanceof AuthorizationFailed) {
    judge(want, got);
    return;
  }
  judge(want, got.answer);
  assert.deepEqual(
    { outcome: got.outcome, depends_on: got.dependsOn },
    { depends_on: [], ...want.partial },
  );
}

function judgeFilter(want: Question, got: Filter | AuthorizationFailed): void {
  if (got instanceof AuthorizationFailed) {
    judge(want, got);
    return;
  }
  judge(want, got.answer);
  const attributes = want.filter?.attributes ?? [];
  const unset = { optional: false, values: [] };
  assert.deepEqual(
    { outcome: got.outcome, condition: got.condition && shape(got.condition), attributes: got.attributes },
    { condition: undefined, ...want.filter, attributes: attributes.map((one) => ({ ...unset, ...one })) },
  );
  assert.equal(got.validUntil !== undefined, want.answer?.cacheable ?? got.validUntil !== undefined);
}

/** Returns a condition as the cases write it. */
function shape(given: FilterCondition): object {
  switch (given.kind) {
    case "all":
      return { all: given.conditions.map(shape) };
    case "any":
      return { any: given.conditions.map(shape) };
    case "not":
      return { not: shape(given.condition) };
    case "hasSome":
      return { has_some: given.attribute, of: shape(given.condition) };
    case "test": {
      const { operator: test, left, right } = given;
      return { test, ...(left && { left: operand(left) }), ...(right && { right: operand(right) }) };
    }
  }
}

function operand(given: FilterOperand): object {
  const { type } = given;
  return given.kind === "value" ? { value: given.value, type } : { [given.kind]: given.name, type };
}

test("questions", { skip }, async (t) => {
  const client = new Client(target("tcp"));
  for (const one of cases.questions) {
    await t.test(one.name, async () => {
      const { token: template, action, api, context } = one;
      const asked = { token: token(template), api, action, resource: native(one.resource) };
      const question = {
        ...asked,
        ...(context && { context: native(context) }),
        ...(one.proof && { proof: proofOf(one.proof) }),
      };
      if (one.unknown) {
        judgePartial(one, await settled(client.partialCheck(question, one.unknown)));
      } else if (one.filter) {
        judgeFilter(one, await settled(client.filter(question)));
      } else {
        judge(one, await settled(client.check(question)));
      }
    });
  }
  client.close();
});

test("batches", { skip }, async (t) => {
  const client = new Client(target("tcp"));
  for (const one of cases.batches) {
    await t.test(one.name, async () => {
      const items = native(one.items);
      const batch = { token: token(one.token), api: one.api, items };
      if (one.unknown) {
        const outcomes = await client.batchPartialCheck(batch, one.unknown);
        assert.equal(outcomes.length, one.results?.length);
        outcomes.forEach((outcome, at) => judgePartial(one.results?.[at] ?? {}, outcome));
        return;
      }
      const got = await settled(client.batchCheck(batch));
      if (got instanceof AuthorizationFailed) {
        judge(one, got);
        return;
      }
      assert.equal(got.length, one.results?.length);
      got.forEach((outcome, at) => judge(one.results?.[at] ?? {}, outcome));
    });
  }
  client.close();
});

test("connections", { skip }, async (t) => {
  const file = (name: string) => readFileSync(site.files[name] ?? "");
  for (const one of cases.connections) {
    await t.test(one.name, async () => {
      const options: ClientOptions = {
        ...(one.authorities && { authorities: file(one.authorities) }),
        ...(one.certificate && { certificate: file(one.certificate) }),
        ...(one.private_key && { privateKey: file(one.private_key) }),
        ...(one.timeout_ms && { timeout: one.timeout_ms }),
      };
      const client = new Client(target(one.target), options);
      const resource = { type: "patient", id: "p1", properties: { sealed: false } };
      const question = { token: token("{reader}"), api: "health", action: "read", resource };
      judge(one, await settled(client.check(question)));
      client.close();
    });
  }
});

test("options that do not fit together are refused", () => {
  const pem = new Uint8Array();
  for (const options of [
    { timeout: 0 },
    { timeout: Number.NaN },
    { timeout: Number.POSITIVE_INFINITY },
    { attempts: 0 },
    { attempts: 6 },
    { certificate: pem },
    { certificate: pem, privateKey: pem },
  ]) {
    assert.throws(() => new Client("127.0.0.1:1", options));
  }
});

test("what is neither an answer nor a failure refuses", () => {
  for (const outcome of [undefined, null, true, { allowed: true }, new Error("else")]) {
    assert.equal(refusalOf(outcome)?.status, 500);
  }
});
