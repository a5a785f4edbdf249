/**
 * Carriers: the protocols that the outside sees.
 *
 * @module
 */
export * from "./carrier.ts";
export * from "./certificate.ts";
export * from "./errors.ts";
export { firstAnswer } from "./first_answer.ts";
export { holdDialogue } from "./plain_dialogue.ts";
export * from "./registry.ts";
export * from "./smtp.ts";
export * from "./ssh.ts";
export { startTlsCarrier, type StartTlsDialogue, type StartTlsObserver } from "./starttls.ts";
export * from "./tls.ts";
export { TLS_GRID } from "./tls_connection.ts";
export * from "./tls_fronted.ts";
export { OVERLOADED } from "./tls_first_flight.ts";
export { sourceOf, Turnstile } from "./turnstile.ts";
