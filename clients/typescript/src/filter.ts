/** Filters: on which resources an action is allowed, as a condition on their attributes. */

import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  CheckResponseSchema,
  FilterOperator as Operator,
  FilterOutcome as Outcome,
  type FilterCondition as ConditionMessage,
  type FilterOperand as OperandMessage,
  type FilterRequest,
  FilterRequestSchema,
  type FilterResponse,
  FilterType as Type,
  type FilterValue as ValueMessage,
} from "./gen/policyd/v1/authorization_pb.js";
import { answerOf, checkRequest } from "./messages.js";
import { type Answer, AuthorizationFailed, type Question } from "./values.js";

/**
 * On which resources an action is allowed; the contract's message `FilterResponse` says what each
 * field means. Nothing may be decided by it from `validUntil` on, and where that is `undefined` it is
 * used once, at once.
 *
 * A resource is allowed when `condition`, which there is with `some` alone, is true of it, and all
 * `attributes` are as they are declared: one that is not `optional` has a value, and where there are
 * `values`, it is one of these or holds no others. A test of an attribute without a value is unknown,
 * and so a filter must not be written for a database by two-valued logic.
 */
export interface Filter {
  readonly outcome: "none" | "some" | "all";
  readonly condition: FilterCondition | undefined;
  readonly attributes: readonly FilterAttribute[];
  readonly validUntil: Date | undefined;
  /** As a partial check gives it with all of the resource unknown. */
  readonly answer: Answer;
}

/** What a resource of the type has. `type` is that of the contract in lower case: `set_of_string`. */
export interface FilterAttribute {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly values: readonly string[];
}

/**
 * All of these are true, one of them is, or this is false; a condition is true of one element of an
 * attribute that is a list of records; or a test, whose operator is that of the contract in lower
 * case, such as `starts_with`.
 */
export type FilterCondition =
  | { readonly kind: "all" | "any"; readonly conditions: readonly FilterCondition[] }
  | { readonly kind: "not"; readonly condition: FilterCondition }
  | { readonly kind: "hasSome"; readonly attribute: string; readonly condition: FilterCondition }
  | {
      readonly kind: "test";
      readonly operator: string;
      readonly left: FilterOperand | undefined;
      readonly right: FilterOperand | undefined;
    };

/** An attribute, a field of an element, or a value. */
export type FilterOperand =
  | { readonly kind: "attribute" | "field"; readonly name: string; readonly type: string }
  | { readonly kind: "value"; readonly value: FilterValue; readonly type: string };

/** A text is also a decimal number, an address or a block; a number also a moment in seconds. */
export type FilterValue = string | number | boolean | readonly FilterValue[];

/** Throws `AuthorizationFailed`. */
export function filterRequest(question: Question): FilterRequest {
  const { accessToken, api, action, context, requestId, proof } = checkRequest(question);
  return create(FilterRequestSchema, {
    ...{ accessToken, api, action, requestId, resourceType: question.resource.type },
    ...(context && { context }),
    ...(proof && { proof }),
  });
}

/** An outcome that is not known is none. Throws `AuthorizationFailed`. */
export function filterOf(response: FilterResponse): Filter {
  const outcomes = { [Outcome.ALL]: "all", [Outcome.SOME]: "some" } as const;
  const outcome = (outcomes as Partial<Record<Outcome, "all" | "some">>)[response.outcome] ?? "none";
  return {
    outcome,
    condition: outcome === "some" ? conditionOf(response.condition) : undefined,
    attributes: response.attributes.map(({ name, type, optional, values }) => {
      return { name, type: named(Type, type, "a type"), optional, values };
    }),
    validUntil: response.validUntil && timestampDate(response.validUntil),
    answer: answerOf(response.response ?? create(CheckResponseSchema)),
  };
}

function conditionOf(message: ConditionMessage | undefined): FilterCondition {
  const kind = message?.kind;
  switch (kind?.case) {
    case "all":
    case "any": {
      const conditions = kind.value.conditions.map(conditionOf);
      if (conditions.length === 0) {
        throw unknown("an empty list of conditions");
      }
      return { kind: kind.case, conditions };
    }
    case "negated":
      return { kind: "not", condition: conditionOf(kind.value) };
    case "hasSome": {
      const { attribute, condition } = kind.value;
      return { kind: "hasSome", attribute, condition: conditionOf(condition) };
    }
    case "test": {
      const { operator, left, right } = kind.value;
      return {
        kind: "test",
        operator: named(Operator, operator, "a test"),
        left: left && operandOf(left),
        right: right && operandOf(right),
      };
    }
    default:
      throw unknown("a condition");
  }
}

function operandOf(message: OperandMessage): FilterOperand {
  const type = named(Type, message.type, "a type");
  switch (message.kind.case) {
    case "attribute":
    case "field":
      return { kind: message.kind.case, name: message.kind.value, type };
    case "value":
      return { kind: "value", value: valueOf(message.kind.value), type };
    default:
      throw unknown("an operand");
  }
}

function valueOf({ kind }: ValueMessage): FilterValue {
  switch (kind.case) {
    case "text":
    case "truth":
      return kind.value;
    case "number":
      return Number(kind.value); // within 2^53
    case "set":
      return kind.value.values.map(valueOf);
    default:
      throw unknown("a value");
  }
}

/** Returns an enumerator in lower case; the first is never sent. */
function named(names: Record<number, string>, number: number, what: string): string {
  const name = number === 0 ? undefined : names[number];
  if (name === undefined) {
    throw unknown(what);
  }
  return name.toLowerCase();
}

/** What only a newer client knows: without it, a filter is another. */
function unknown(what: string): AuthorizationFailed {
  return new AuthorizationFailed("UNKNOWN", `the filter has ${what} that this client does not know`);
}
