/**
 * Tor's pluggable transports (pt-spec version 1) for Deno: all that a program has to do so that tor runs it as
 * `ClientTransportPlugin` or `ServerTransportPlugin`. It knows nothing of what a transport does with the bytes.
 *
 * A program passes its transports to {@linkcode runPluggableTransport}, which reads the environment, talks to tor,
 * listens, and ends when tor wants it to. The parts below it (arguments, the lines of standard output, SOCKS, the
 * Extended ORPort, proxies) can be used alone.
 *
 * @example A client transport
 * ```ts ignore
 * // rot_client.ts: ClientTransportPlugin rot exec rot_client
 * import {
 *   ArgumentError,
 *   oneArg,
 *   runPluggableTransport,
 *   splice,
 * } from "@trafficmimic/trafficmimic/pt";
 *
 * const turn = (by: number) => (bytes: Uint8Array) => bytes.map((byte) => (byte + by) & 255);
 *
 * Deno.exit(
 *   await runPluggableTransport({
 *     implementation: { name: "rot", version: "1.0" },
 *     client: {
 *       rot: async (connection) => {
 *         // Arguments of the bridge line. What is thrown before accept() becomes tor's SOCKS reply.
 *         const by = Number(oneArg(connection.args, "by"));
 *         if (!Number.isInteger(by)) throw new ArgumentError("the bridge line needs by=NUMBER");
 *         // To the bridge: through the user's proxy, from the right source address.
 *         const bridge = await connection.dial();
 *         // Only now does tor hear that the transport is connected.
 *         await splice(connection.accept(), bridge, turn(by), turn(-by));
 *       },
 *     },
 *   }),
 * );
 * ```
 *
 * @example A server transport
 * ```ts ignore
 * // rot_server.ts: ServerTransportPlugin rot exec rot_server
 * import { runPluggableTransport, splice } from "@trafficmimic/trafficmimic/pt";
 *
 * const turn = (by: number) => (bytes: Uint8Array) => bytes.map((byte) => (byte + by) & 255);
 *
 * // The number of steps, chosen once and kept: a bridge line must outlive the process.
 * async function keptSteps(stateFolder: string): Promise<number> {
 *   const file = `${stateFolder}/steps`;
 *   try {
 *     return Number(await Deno.readTextFile(file));
 *   } catch (error) {
 *     if (!(error instanceof Deno.errors.NotFound)) throw error;
 *     const by = 1 + crypto.getRandomValues(new Uint8Array(1))[0]! % 255;
 *     await Deno.writeTextFile(file, `${by}`, { mode: 0o600 });
 *     return by;
 *   }
 * }
 *
 * Deno.exit(
 *   await runPluggableTransport({
 *     implementation: { name: "rot", version: "1.0" },
 *     server: {
 *       rot: {
 *         // What is thrown here becomes SMETHOD-ERROR.
 *         start: async (context) => {
 *           const by = await keptSteps(context.stateFolder);
 *           return context.listen(async ({ socket, dialOrPort }) => {
 *             // Tor is told the client's address and says OKAY before a byte is passed on.
 *             await splice(socket, await dialOrPort(), turn(-by), turn(by));
 *           }, { args: { by: `${by}` } });
 *         },
 *       },
 *     },
 *   }),
 * );
 * ```
 *
 * @module
 */
export { UserError } from "../../base/errors.ts";
export * from "./address.ts";
export * from "./args.ts";
export * from "./client.ts";
export * from "./context.ts";
export * from "./dial.ts";
export * from "./environment.ts";
export * from "./errors.ts";
export * from "./ext_orport.ts";
export * from "./handshake.ts";
export * from "./listen.ts";
export * from "./orport.ts";
export * from "./output.ts";
export * from "./proxy_handshake.ts";
export * from "./proxy_url.ts";
export * from "./run.ts";
export * from "./runtime.ts";
export * from "./server.ts";
export * from "./shutdown.ts";
export * from "./socks5.ts";
export * from "./splice.ts";
export * from "./timers.ts";
