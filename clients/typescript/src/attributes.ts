/** Attributes and entries of a context, checked: what JSON lacks is named, never guessed. */

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { AuthorizationFailed } from "./values.js";

/** The daemon's own bound; an object that holds itself ends here too. */
const DEEPEST = 32;

/** What is wrong with a value, and the path to it within the attribute. */
class Unsupported {
  constructor(
    readonly path: string,
    readonly problem: string,
  ) {}
}

/**
 * Returns a copy of `values`, as JSON.
 *
 * `what` is how messages call an entry, such as "context entry"; `reason` is the failure's. Throws
 * `AuthorizationFailed` with the name of the attribute.
 */
export function structOf(values: unknown, what: string, reason: string): JsonObject {
  if (values === undefined) {
    return {};
  }
  if (!isPlain(values)) {
    throw invalid(`an object of ${what}s is needed, and no ${kind(values)}`, reason);
  }
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      try {
        return [text(name, ""), jsonOf(value, "", 1)];
      } catch (error) {
        if (error instanceof Unsupported) {
          throw invalid(`${what} \`${name}${error.path}\` is ${error.problem}`, reason);
        }
        throw error;
      }
    }),
  );
}

export function invalid(message: string, reason: string): AuthorizationFailed {
  return new AuthorizationFailed("INVALID_ARGUMENT", message, reason);
}

function jsonOf(value: unknown, path: string, depth: number): JsonValue {
  if (depth > DEEPEST) {
    throw new Unsupported("", `nested deeper than ${DEEPEST} levels`);
  }
  if (value === null || typeof value === "boolean") {
    return value;
  }
  if (typeof value === "number") {
    return number(value, path);
  }
  if (typeof value === "string") {
    return text(value, path);
  }
  if (Array.isArray(value)) {
    return Array.from(value, (inner, at) => jsonOf(inner, `${path}[${at}]`, depth + 1));
  }
  if (isPlain(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => {
        const below = `${path}.${name}`;
        return [text(name, below), jsonOf(inner, below, depth + 1)];
      }),
    );
  }
  throw new Unsupported(path, `${kind(value)}, which JSON does not have: pass ${instead(value)}`);
}

function number(value: number, path: string): number {
  if (!Number.isFinite(value)) {
    throw new Unsupported(path, `${value}, which JSON does not have`);
  }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new Unsupported(path, `${value}, which binary64 does not hold exactly: pass a text`);
  }
  return value;
}

function text(value: string, path: string): string {
  if (!value.isWellFormed()) {
    throw new Unsupported(path, "a text with half a surrogate pair, which UTF-8 lacks");
  }
  return value;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function kind(value: unknown): string {
  if (typeof value !== "object" || value === null) {
    return typeof value;
  }
  return `a ${value.constructor?.name ?? "object"}`;
}

function instead(value: unknown): string {
  if (value instanceof Set) {
    return "an array";
  }
  if (value instanceof Map) {
    return "an object";
  }
  if (value instanceof Date) {
    return "`toISOString()` of it";
  }
  return "a text, a number, a boolean, an array, an object or null";
}
