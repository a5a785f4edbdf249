import type { LinkProfile } from "../lab/link_profile.ts";
import { makeShortFolder, temporaryPrefix } from "../lab/leftovers.ts";
import { demand } from "../lab/needs.ts";
import { denoCache, type LabNetwork, type LinkKind, SERVER_ADDRESS } from "../lab/network.ts";
import type { PlayCommand, PlayedCommand } from "../lab/play.ts";
import { frontingNginx, WEB_BEHIND, WEB_HOST } from "../lab/servers/nginx.ts";
import { MAIL_BEHIND, startPostfix } from "../lab/servers/postfix.ts";
import { loadModel, type ModelDescription } from "../models/mod.ts";
import { UsageError, UserError } from "../base/mod.ts";

/** A play over the laboratory's link did not come to its end. */
export class LabPlayFailed extends UserError {
  /** `part` is what failed, `words` the last that it said. */
  constructor(readonly part: string, words: string) {
    super(`${part} failed: ${words.trim().split("\n").at(-1) || "it said nothing"}`);
  }
}

/** What the outside of a play looks like: see {@linkcode LabNodesOptions.carrier}. */
export type LabCarrier = "own" | "tls" | "fronted";

/** Which nodes to run in the laboratory, and how. */
export interface LabNodesOptions {
  /** Name or path of the model. */
  readonly model: string;
  /** Folder for keys and logs; it exists. An absolute path. */
  readonly folder: string;
  /** Simulated users: model sessions played at once. */
  readonly sessions: number;
  /**
   * `own`: the carrier that the model is for, with the genuine programs around it, so that a recording has its
   * handshake. `tls` (the default): in TLS whatever the model, as the demo and the simulation play it. `fronted`:
   * in TLS with a genuine nginx in front.
   */
  readonly carrier?: LabCarrier;
  /** Seed of the cover, 64 hexadecimal digits. */
  readonly seed: string;
  /** Ports on loopback: the client's door, and the destination behind the server. */
  readonly ports: { readonly door: number; readonly destination: number };
}

/** The link that nodes are played over. */
export interface LabLinkOptions {
  /** The link between the two ends (default the laboratory's). */
  readonly link?: LinkProfile;
  /** Which kind of link; probed where left out. */
  readonly kind?: LinkKind;
}

/** What stands around our server, so that the outside is the genuine one. */
interface Outside {
  /** The server's port: that of the protocol's samples. */
  readonly port: number;
  /** Programs that must be installed. */
  readonly programs: readonly string[];
  /** Programs that the nodes start. */
  readonly starts?: { readonly server: readonly string[]; readonly client: readonly string[] };
  /** Starts or prepares what strangers meet. */
  readonly prepare?: (network: LabNetwork, folders: Folders) => Promise<Around>;
}

interface Folders {
  /** For the files of what strangers meet. */
  readonly own: string;
  /** Our server reads and writes it. */
  readonly folder: string;
  /** Our server's state. */
  readonly state: string;
}

/** What {@linkcode Outside.prepare} leaves to do. */
interface Around {
  /** What the server is told of it. */
  readonly told: readonly string[];
  /** What is to be started when the server is there: it has the server's port. */
  readonly front?: readonly string[];
}

const PLAIN: Outside = { port: 443, programs: [] };

const OUTSIDES: Readonly<Record<string, Outside>> = {
  tls: PLAIN,
  fronted: {
    ...PLAIN,
    programs: ["nginx", "openssl"],
    prepare: async (_, { own, folder, state }) => {
      const { certificate, argv } = await frontingNginx(own, `${state}/nginx.conf`);
      await Deno.copyFile(certificate, `${folder}/web.crt`);
      const { host, port } = WEB_BEHIND;
      return {
        told: [
          ...["--front", `--cert=${folder}/web.crt`, `--name=${WEB_HOST}`],
          ...[`--listen=${host}:${port}`, `--advertise=${SERVER_ADDRESS}:${PLAIN.port}`],
        ],
        front: argv,
      };
    },
  },
  smtp: {
    port: 25,
    programs: ["postfix", "openssl"],
    prepare: async (network, { own, folder }) => {
      // Postfix gives up root, and must still reach its files.
      await Deno.chmod(own, 0o711);
      const { certificate, key } = await startPostfix(network, own, true);
      await Deno.copyFile(certificate, `${folder}/mail.crt`);
      await Deno.copyFile(key, `${folder}/mail.key`);
      const { host, port } = MAIL_BEHIND;
      return {
        told: [
          ...[`--listen=${SERVER_ADDRESS}:25`, `--decoy=${host}:${port}`],
          ...[`--cert=${folder}/mail.crt`, `--key=${folder}/mail.key`],
        ],
      };
    },
  },
  ssh: {
    port: 22,
    programs: ["ssh", "sshd", "setpriv", "perl"],
    starts: {
      server: ["/usr/bin/ssh", "/usr/sbin/sshd", "/usr/bin/setpriv"],
      client: ["/usr/bin/perl", "/usr/bin/ssh"],
    },
  },
};

const root = decodeURIComponent(new URL("../", import.meta.url).pathname);

/** The argument list that runs a file of this project with these rights and no others; none named: all of a kind. */
export function projectProgram(
  file: string,
  rights: Record<string, readonly string[]>,
  ...args: string[]
): string[] {
  return [
    Deno.execPath(),
    ...["run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    ...Object.entries(rights).map(([right, names]) =>
      `--allow-${right}${names.length === 0 ? "" : `=${names.join(",")}`}`
    ),
    `${root}${file}`,
    ...args,
  ];
}

/** Environment of all programs of a play. */
export function playEnvironment(folder: string): Record<string, string> {
  return { NO_COLOR: "1", HOME: "/nonexistent", TMPDIR: folder, ...denoCache() };
}

/**
 * A tm-server and a tm-client at the two ends of a laboratory link, with what stands around the server so that the
 * outside is the genuine one. Its door leads to one destination at the server's end. Dispose of it when the play
 * is over.
 */
export class LabNodes implements AsyncDisposable {
  readonly #own: string;
  readonly #state: string;
  readonly #outside: Outside;
  #around: Around;
  /** The model. */
  readonly description: ModelDescription;
  /** The carrier that it is played in, or `fronted`. */
  readonly carrier: string;
  /** The server's port on the link. */
  readonly port: number;

  private constructor(
    readonly options: LabNodesOptions,
    { description, carrier, outside, own, state }: {
      description: ModelDescription;
      carrier: string;
      outside: Outside;
      own: string;
      state: string;
    },
  ) {
    this.#own = own;
    this.#state = state;
    this.#outside = outside;
    this.#around = { told: [`--listen=${SERVER_ADDRESS}:${outside.port}`] };
    this.description = description;
    this.carrier = carrier;
    this.port = outside.port;
  }

  /**
   * Whatever is wrong with the model, the carrier or this machine is said here, before anything starts.
   *
   * @throws {UsageError} for a carrier that is not known here.
   * @throws {LabNeeds} where a program that the carrier needs is missing.
   */
  static async make(options: LabNodesOptions): Promise<LabNodes> {
    const { description } = await loadModel(options.model);
    const carrier = options.carrier === "own" ? description.carrier : options.carrier ?? "tls";
    const outside = OUTSIDES[carrier];
    if (outside === undefined) {
      throw new UsageError(
        `the laboratory cannot play carrier ${carrier} of ${options.model}: only ${
          Object.keys(OUTSIDES).join(", ")
        }`,
      );
    }
    await demand([], outside.programs);
    const own = await Deno.makeTempDir({ prefix: temporaryPrefix() });
    // sshd tells its clients the path of their key: this one is short enough to be as long as everybody's.
    const state = await makeShortFolder();
    return new LabNodes(options, { description, carrier, outside, own, state });
  }

  /** What is to be there before the commands start. */
  async prepare(network: LabNetwork): Promise<void> {
    const folders = { own: this.#own, folder: this.options.folder, state: this.#state };
    this.#around = await this.#outside.prepare?.(network, folders) ?? this.#around;
  }

  /** Where a node's log of what it sends and opens is. */
  wireLog(end: "client" | "server"): string {
    return `${this.options.folder}/${end}.jsonl`;
  }

  /**
   * The commands that start the server, what stands in front of it, and the client, in this order; `at` is the
   * server's place in the whole list of commands. When the last of them is through, the door is open.
   */
  async commands(at: number): Promise<readonly [PlayCommand, PlayCommand, PlayCommand]> {
    const { folder, model, ports, seed, sessions } = this.options;
    const { port, starts } = this.#outside;
    const env = playEnvironment(folder);
    const path = /[./\\]/.test(model) ? [await Deno.realPath(model)] : [];
    const rights = {
      read: [root, folder, this.#state, ...path],
      write: [folder, this.#state],
      env: ["NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE"],
    };
    const carrier = this.carrier === "fronted" ? "tls" : this.carrier;
    const shared = [`--model=${model}`, `--carrier=${carrier}`];
    // Over ssh the nodes talk to their programs on ports of this machine.
    const local = (door: string) => starts === undefined ? door : "127.0.0.1";
    return [{
      end: "server",
      argv: () =>
        projectProgram(
          "cli/main.ts",
          {
            ...rights,
            ffi: [],
            read: [...rights.read, "/etc/passwd"],
            net: [`${SERVER_ADDRESS}:${port}`, "127.0.0.1"],
            ...(starts === undefined ? {} : { run: starts.server }),
          },
          "server",
          ...shared,
          ...this.#around.told,
          `--state=${this.#state}`,
          `--wire-log=${this.wireLog("server")}`,
          "--allow-private",
        ),
      until: { said: /^mimic .*\n/ },
      ending: 8000,
      options: { env },
    }, {
      end: "server",
      argv: () => this.#around.front ?? ["true"],
      until: this.carrier === "fronted" ? { listens: port } : "started",
      options: { env },
    }, {
      end: "client",
      argv: (before) =>
        projectProgram(
          "cli/main.ts",
          {
            ...rights,
            ffi: [],
            net: [`${SERVER_ADDRESS}:${port}`, local(`127.0.0.1:${ports.door}`)],
            ...(starts === undefined ? {} : { run: starts.client }),
          },
          "client",
          `--line=${before[at]!.output.trim()}`,
          `--forward=127.0.0.1:${ports.door}=127.0.0.1:${ports.destination}`,
          ...shared,
          `--sessions=${sessions}`,
          `--seed=${seed}`,
          `--wire-log=${this.wireLog("client")}`,
        ),
      until: { said: /^ready: / },
      ending: 8000,
      options: { env },
    }];
  }

  /**
   * Throws if a node ended before the play was over; `at` as in {@linkcode commands}.
   *
   * @throws {LabPlayFailed} with the node's last words.
   */
  check(ended: readonly PlayedCommand[], at: number): void {
    for (const [index, node] of [[at, "tm-server"], [at + 2, "tm-client"]] as const) {
      const { code, errors } = ended[index]!;
      if (code === undefined) continue;
      throw new LabPlayFailed(`the ${node} of ${this.options.model}`, errors);
    }
  }

  /** Removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    // Both are begun, whatever becomes of the other: there are secrets in the second.
    await Promise.all(
      [this.#own, this.#state].map((path) => Deno.remove(path, { recursive: true })),
    );
  }
}
