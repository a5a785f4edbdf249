/**
 * Finds, pins, loads, sandboxes and checks plugins: our own in a worker, anybody else's in a child
 * process without any permission.
 *
 * @module
 */
export * from "./attack_host.ts";
export * from "./blocking.ts";
export * from "./codec.ts";
export * from "./errors.ts";
export * from "./exec_attack.ts";
export * from "./sandbox.ts";
export * from "./source.ts";
export * from "./worker_host.ts";
export {
  type AttackTable,
  serveAttacks,
  type WorkerAnswer,
  type WorkerCall,
} from "./worker_side.ts";
