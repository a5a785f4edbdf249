/**
 * A transport to be driven from outside. `rot` turns each byte, `loud` logs what is hard to write, `told` tells the
 * options it was given, `slow` starts late, `broken` cannot start, `blank` has arguments that no bridge line can hold, `port0` tells an address that tor would not bear.
 */
import {
  ArgumentError,
  DialError,
  oneArg,
  runPluggableTransport,
  splice,
} from "../../../transports/pt/mod.ts";

const turn = (by: number) => (bytes: Uint8Array) => bytes.map((byte) => (byte + by) & 255);

Deno.exit(
  await runPluggableTransport({
    implementation: { name: "toy", version: '1.0 "b"' },
    unsafeLogging: Deno.args.includes("--unsafe-logging"),
    ...(Deno.args.includes("--server-only") ? {} : {
      client: {
        rot: async (connection) => {
          const by = Number(oneArg(connection.args, "by") ?? 13);
          if (!Number.isInteger(by)) throw new ArgumentError('"by" is not a number of steps');
          const bridge = await connection.dial();
          await splice(connection.accept(), bridge, turn(by), turn(-by));
        },
        echo: async (connection) => {
          const socket = connection.accept();
          const { target, args } = connection;
          socket.write(`${JSON.stringify({ target, args: [...args] })}\n`);
          for await (const bytes of socket) socket.write(bytes);
          socket.end();
        },
        fail: (connection) => {
          const code = Number(oneArg(connection.args, "code"));
          connection.context.log("notice", "failing for 192.0.2.7:443 and [2001:db8::1]:9");
          return Promise.reject(new DialError("it is meant to", code));
        },
        loud: {
          start: (context) => {
            const text = 'a "b" \\ c\nd\re\tf \u00e9\u20ac \u0001\u007f g\0h';
            for (const severity of ["error", "warning", "notice", "info", "debug"] as const) {
              context.log(severity, text);
            }
            context.status({ ADDRESS: "a=b", TEXT: text, EMPTY: "" });
            return Promise.resolve(() => Promise.resolve());
          },
        },
        silent: () => Promise.resolve(),
        hang: ({ signal }) =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
        broken: { start: () => Promise.reject(new ArgumentError("it cannot\nstart \u00e9")) },
      },
    }),
    ...(Deno.args.includes("--client-only") ? {} : {
      server: {
        rot: {
          start: (context) => {
            const by = Number(oneArg(context.options, "by") ?? 13);
            context.status({ STATE: "up and away" });
            return context.listen(async ({ socket, dialOrPort }) => {
              await splice(socket, await dialOrPort(), turn(-by), turn(by));
            }, { args: { by: `${by}`, "a,b": "c=d\\e" } });
          },
        },
        plain: async ({ socket, dialOrPort }) => await splice(socket, await dialOrPort()),
        told: {
          start: (context) =>
            context.listen(() => Promise.resolve(), { args: Object.fromEntries(context.options) }),
        },
        six: {
          start: (context) =>
            context.listen(async ({ socket, dialOrPort }) => {
              await splice(socket, await dialOrPort());
            }, { fallback: { host: "::1", port: 0 } }),
        },
        broken: { start: () => Promise.reject(new ArgumentError("it cannot\nstart \u00e9")) },
        blank: {
          start: (context) => context.listen(() => Promise.resolve(), { args: { a: "b c" } }),
        },
        port0: {
          start: () =>
            Promise.resolve({
              address: { host: "127.0.0.1", port: 0 },
              stop: () => Promise.resolve(),
              destroy: () => {},
            }),
        },
      },
    }),
  }),
);
