import { Command, Option, repeated } from "./command_line.ts";
import { UsageError } from "../base/mod.ts";
import { loadModel } from "../models/mod.ts";
import { protocolOf } from "../protocols/mod.ts";
import { CARRIERS } from "../transports/carriers/mod.ts";
import { parseAddress } from "../transports/doors/mod.ts";
import {
  alpnOf,
  giveMemoryBack,
  MAX_SESSIONS,
  parseDecoy,
  startServer,
} from "../transports/mimic/mod.ts";
import { note, print } from "./output.ts";
import { untilSignal } from "./signals.ts";
import { numberOf, seedOf } from "./tunnel_options.ts";

interface Options {
  readonly listen: string;
  readonly advertise?: string;
  readonly model?: string[];
  readonly carrier?: string;
  readonly state: string;
  readonly cert?: string;
  readonly key?: string;
  readonly name?: string;
  readonly alpn?: string;
  readonly master?: "client" | "server";
  readonly schedule?: "strict" | "demand" | "adaptive";
  readonly sessions?: number;
  readonly seed?: Uint8Array;
  readonly decoy?: string;
  readonly front?: boolean;
  readonly allowPrivate?: boolean;
  readonly wireLog?: string;
  readonly verbose?: boolean;
  readonly unsafeLogging?: boolean;
  readonly json?: boolean;
}

/** `deno task server`: the tunnel's far end. */
export function command(): Command {
  return new Command("deno task server")
    .description(
      "Serves as the far end of tunnels in cover traffic. Prints one line, which `deno task client` needs, and serves until SIGINT or SIGTERM.",
    )
    .option("--listen <host:port>", "where to listen; port 0 takes a free one", "127.0.0.1:8443")
    .option("--advertise <host:port>", "the address in the line, if it is another")
    .option(
      "--model <name|file>",
      "a model that clients may play (repeatable; the line names the first; default: https)",
      repeated,
    )
    .addOption(
      new Option(
        "--carrier <name>",
        "the carrier, also for models learned for another (default: the first model's)",
      ).choices([...CARRIERS.keys()]),
    )
    .option(
      "--state <folder>",
      "keys, secrets and pages, made at the first start",
      "trafficmimic-server",
    )
    .option("--cert <file>", "your own certificate, PEM (with --key)")
    .option("--key <file>", "its private key, PEM")
    .option(
      "--name <host>",
      "the server's name: in a self-made certificate, and asked for by clients",
    )
    .option("--alpn <list>", "application protocols, comma-separated (default: as the model's)")
    .addOption(
      new Option(
        "--master <end>",
        "which end draws the cover: `server` tells clients so in the line, `client` refuses to (default: as each client wishes)",
      ).choices(["client", "server"]),
    )
    .addOption(
      new Option(
        "--schedule <mode>",
        "tells clients in the line who decides when episodes start, and of what kind (default: as each client wishes)",
      ).choices(["strict", "demand", "adaptive"]),
    )
    .option(
      "--sessions <n>",
      `tells clients in the line how many model sessions to play at once, 1 to ${MAX_SESSIONS} (default: as each client wishes)`,
      numberOf(1, MAX_SESSIONS),
    )
    .option(
      "--seed <hex>",
      "for measurements: where the server is master, all tunnels play the cover of this seed (default: secret and random for each tunnel)",
      seedOf,
    )
    .option(
      "--decoy <host:port>",
      "the genuine server that strangers meet, of the carrier's own protocol: for tls a web server's TLS port; or http://host:port, a plain one (default: a web page of this installation)",
    )
    .option(
      "--front",
      "a genuine nginx stands in front, terminates TLS with the certificate of --cert, and hands on a secret path: writes the block for its configuration to STATE/nginx.conf",
    )
    .option("--allow-private", "also connect to loopback, link-local and private addresses")
    .option("--wire-log <file>", "write everything done on the wire, one JSON object a line")
    .option("--verbose", "say on standard error what goes wrong, without anybody's address")
    .option("--unsafe-logging", "say it with the addresses of clients and destinations")
    .option("--json", "print the line within a JSON object")
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { cert, key, name, wireLog } = options;
  if (options.front) {
    if (cert === undefined || key !== undefined) {
      throw new UsageError("--front goes with --cert, nginx's certificate, and without --key");
    }
  } else if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--cert and --key go together");
  }
  const [first, ...others] = await Promise.all((options.model ?? ["https"]).map(loadModel));
  const alpn = options.alpn?.split(",").filter((item) => item !== "") ??
    alpnOf(first!.description.protocol, options.front);
  const decoy = options.decoy ?? protocolOf(first!.description.protocol)?.decoy;
  const running = await startServer({
    listen: parseAddress(options.listen, "--listen", "127.0.0.1"),
    models: [first!, ...others],
    ...(options.carrier === undefined ? {} : { carrier: options.carrier }),
    state: options.state,
    allowPrivate: options.allowPrivate ?? false,
    play: {
      ...(options.master === undefined ? {} : { master: options.master }),
      ...(options.schedule === undefined ? {} : { schedule: options.schedule }),
      ...(options.sessions === undefined ? {} : { sessions: options.sessions }),
    },
    ...(options.seed === undefined ? {} : { leadSeed: options.seed }),
    ...(alpn === undefined || alpn.length === 0 ? {} : { alpn }),
    ...(options.advertise === undefined
      ? {}
      : { advertise: parseAddress(options.advertise, "--advertise") }),
    ...(cert === undefined || key === undefined ? {} : { certificate: { cert, key } }),
    ...(options.front && cert !== undefined ? { front: cert } : {}),
    ...(name === undefined ? {} : { name }),
    ...(decoy === undefined ? {} : { decoy: parseDecoy(decoy, "--decoy") }),
    ...(wireLog === undefined ? {} : { wireLog }),
    onWarning: (text) => note(`warning: ${text}`),
    ...(options.verbose || options.unsafeLogging ? { onNote: note } : {}),
    unsafeNotes: options.unsafeLogging ?? false,
  });
  if (options.front) {
    note(`include ${options.state}/nginx.conf in the server block of nginx, and reload it`);
  }
  print(
    options.json ? JSON.stringify({ line: running.line, address: running.address }) : running.line,
  );
  // Users who were added or removed are seen within seconds; at once with this signal, which Windows lacks.
  const reread = () => void running.users.check();
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGHUP", reread);
  const giving = giveMemoryBack();
  await untilSignal();
  await giving.stop();
  await running.close();
}
