/**
 * Asks a policyd daemon whether the bearer of an access token may perform an action on a resource.
 *
 * Access is granted by `allowed` of an answer alone. Where there is no answer, a call rejects with
 * `AuthorizationFailed`, whose `allowed` is false.
 */
export { Client } from "./client.js";
export type { ClientOptions } from "./client.js";
export type {
  Filter,
  FilterAttribute,
  FilterCondition,
  FilterOperand,
  FilterValue,
} from "./filter.js";
export { answerHeaders, refusalOf } from "./refusal.js";
export type { Refusal } from "./refusal.js";
export { AuthorizationFailed } from "./values.js";
export type {
  Answer,
  Batch,
  Item,
  Json,
  Outcome,
  PartialAnswer,
  Proof,
  Question,
  Resource,
  Subject,
} from "./values.js";
