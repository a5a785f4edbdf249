/**
 * The worker behind {@linkcode BlockingPlugin}: our own code, which holds a sandboxed plugin and puts its
 * answers where a thread that waits finds them.
 *
 * @module
 */
import { serveBlocking } from "./blocking_side.ts";

serveBlocking();
