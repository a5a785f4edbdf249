import { endAllIn, removeNamespace, temporaryPrefix } from "../../lab/leftovers.ts";
import { run, Running, type StartOptions } from "../../lab/process.ts";

/** The two ends: where the Tor network and its bridges are, and where its clients are. */
export type End = "relays" | "clients";

/** Interface at both ends of the link. */
const DEVICE = "link0";

/** Addresses of the ends on the link between them. */
export const ADDRESSES: Readonly<Record<End, { readonly v4: string; readonly v6: string }>> = {
  relays: { v4: "10.97.0.1", v6: "fd97::1" },
  clients: { v4: "10.97.0.2", v6: "fd97::2" },
};

/** More addresses of the clients' end, from which a program connects only if it is told to. */
export const SECOND = { v4: "10.97.0.3", v6: "fd97::3" } as const;

/**
 * Two network namespaces with nothing but a link between them. What listens on loopback at one end cannot be
 * reached from the other, and no packet can leave.
 */
export class TwoEnds implements AsyncDisposable {
  readonly #names: Readonly<Record<End, string>>;

  private constructor() {
    const stem = `${temporaryPrefix()}${crypto.randomUUID().slice(0, 4)}`;
    this.#names = { relays: `${stem}r`, clients: `${stem}c` };
  }

  /** Makes the namespaces and the link. */
  static async up(): Promise<TwoEnds> {
    const ends = new TwoEnds();
    const { relays, clients } = ends.#names;
    try {
      await run(["ip", "netns", "add", relays]);
      await run(["ip", "netns", "add", clients]);
      await run(
        ["ip", "-n", relays, "link", "add", DEVICE, "type", "veth"].concat(
          ["peer", DEVICE, "netns", clients],
        ),
      );
      for (const end of ["relays", "clients"] as const) {
        const ip = (...args: string[]) => run(["ip", "-n", ends.#names[end], ...args]);
        await ip("addr", "add", `${ADDRESSES[end].v4}/24`, "dev", DEVICE);
        await ip("addr", "add", `${ADDRESSES[end].v6}/64`, "dev", DEVICE, "nodad");
        if (end === "clients") {
          // As /24 beside the first they are secondary: the kernel chooses the first.
          await ip("addr", "add", `${SECOND.v4}/24`, "dev", DEVICE);
          await ip("addr", "add", `${SECOND.v6}/128`, "dev", DEVICE, "nodad", "preferred_lft", "0");
        }
        await ip("link", "set", "lo", "up");
        await ip("link", "set", DEVICE, "up");
      }
    } catch (error) {
      await ends[Symbol.asyncDispose]();
      throw error;
    }
    return ends;
  }

  /** The argument list that runs `argv` at one end. */
  inside(end: End, argv: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.#names[end], ...argv];
  }

  /** Starts a program at one end. */
  start(end: End, argv: readonly string[], options?: StartOptions): Running {
    return new Running(this.inside(end, argv), options);
  }

  /** Starts to record the headers of all that crosses the link, at the clients' end. */
  async record(file: string): Promise<Running> {
    const program = this.start("clients", [
      ...["tcpdump", "-i", DEVICE, "-Z", "root", "-s", "128", "-U", "-n", "-B", "16384"],
      ...["--immediate-mode", "-w", file],
    ]);
    await program.said(/listening on/, 10_000, "errors");
    return program;
  }

  /** Ends all that runs inside, by process id, and removes the namespaces. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of Object.values(this.#names)) {
      await endAllIn(name);
      await removeNamespace(name);
    }
  }
}
