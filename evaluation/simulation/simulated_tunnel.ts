import type { LinkProfile } from "../../lab/link_profile.ts";
import type { CoverModel, End } from "../../models/mod.ts";
import {
  Acceptor,
  type EngineStats,
  Opener,
  ReliableTunnel,
  type Scheduling,
  type TunnelOptions,
  type TunnelStream,
  VirtualClock,
  type WireEvent,
} from "../../playback/mod.ts";
import { SeededRandom, substream } from "../../models/random.ts";
import { drawLateness } from "./link_lateness.ts";
import { WakingClock } from "./waking_clock.ts";
import { type PathKeep, SimulatedPath } from "./simulated_path.ts";

/** Bytes of the proof at the head of each end's stream, as the transport `mimic` has them. */
const TOKEN = 16;
/** Bytes of the client's first proof, before a tunnel has tokens. */
const HELLO = 36;

/** How late timers are unless told: evenly, by up to a step of the times in plans. */
const WAKING: readonly number[] = [0, 1 / 64];

/** What is simulated. */
export interface SimulationOptions {
  /** What is played. */
  readonly model: CoverModel;
  /** The link between the two ends. */
  readonly link: LinkProfile;
  /** Everything is drawn from it. */
  readonly seed: Uint8Array;
  /** Who decides when episodes start, and of what kind; `strict` if absent. */
  readonly schedule?: Scheduling;
  /** Model sessions played at once; 1 if absent. */
  readonly sessions?: number;
  /** What the tunnel holds at either end, where it is not the default. */
  readonly tunnel?: Pick<TunnelOptions, "receiveLimit" | "receiveWindow" | "sendBuffer">;
  /** Who is master; the client if absent. */
  readonly master?: End;
  /** Whether packets are kept, or of which connections. */
  readonly keep?: PathKeep["keep"];
  /** How late packets are: quantiles in milliseconds; see `linkLateness`. Never if absent. */
  readonly lateness?: readonly number[];
  /** How late the timers of both ends are: quantiles in milliseconds; up to 1/64 if absent. */
  readonly waking?: readonly number[];
  /** Told of everything that the client's end does on the wire. */
  readonly onWire?: (event: WireEvent) => void;
  /** The same for the server's end. */
  readonly onServerWire?: (event: WireEvent) => void;
}

/**
 * A tunnel in virtual time: the engine of both ends over a simulated link, without users until some are
 * opened. Nothing happens but in {@linkcode SimulatedTunnel.run}.
 */
export class SimulatedTunnel {
  /** The time. */
  readonly clock: VirtualClock = new VirtualClock();
  /** The link. */
  readonly path: SimulatedPath;
  readonly #tunnels: { readonly client: ReliableTunnel; readonly server: ReliableTunnel };
  readonly #opener: Opener;
  readonly #acceptor: Acceptor;
  /** What went wrong: cover connections that were given up, refusals. */
  readonly faults: unknown[] = [];

  /** Prepares both ends; the client's begins at once. */
  constructor(options: SimulationOptions) {
    const { clock } = this;
    const { link, model, onServerWire, onWire, schedule, seed, sessions } = options;
    this.path = new SimulatedPath(clock, link, {
      keep: options.keep ?? false,
      ...(options.lateness === undefined ? {} : {
        lateness: drawLateness(options.lateness, new SeededRandom(substream(seed, "lateness"))),
      }),
    });
    const waking = new SeededRandom(substream(seed, "waking"));
    const ends = new WakingClock(clock, drawLateness(options.waking ?? WAKING, waking));
    // Not the tunnels' timers, which users' data sets: they would draw what the engine's are late by, and the wire of
    // an idle and of a busy tunnel would no longer be the same.
    this.#tunnels = {
      client: new ReliableTunnel({ ...options.tunnel, end: "client", clock }),
      server: new ReliableTunnel({ ...options.tunnel, end: "server", clock }),
    };
    const fault = ({ report }: { readonly report: { readonly error?: unknown } }) =>
      this.faults.push(report.error);
    this.#acceptor = new Acceptor({
      clock: ends,
      tunnel: this.#tunnels.server,
      models: [model],
      lead: { seed: substream(seed, "server") },
      ...(onServerWire === undefined ? {} : { onWire: onServerWire }),
      onFault: fault,
    });
    let proven = false;
    this.#opener = new Opener({
      clock: ends,
      tunnel: this.#tunnels.client,
      model,
      seed,
      minFirstPayload: TOKEN + 2,
      master: options.master ?? "client",
      ...(schedule === undefined ? {} : { schedule }),
      sessions: sessions ?? 1,
      ...(onWire === undefined ? {} : { onWire }),
      onFault: fault,
      onError: (error) => this.faults.push(error),
      dial: ({ done, serial, session }) => {
        // The engine opens one connection at a time until the first has been answered.
        const length = proven ? TOKEN : HELLO;
        this.path.dial(
          (connection) =>
            done({
              connection,
              prefix: new Uint8Array(length),
              peerPrefix: TOKEN,
              onPeerPrefix: () => proven = true,
              // Sealed as the transport does it, which is what lets user data go from the first message on.
              seal: (bytes) => bytes,
            }),
          (connection) =>
            this.#acceptor.accept(connection, {
              session,
              serial,
              prefix: new Uint8Array(TOKEN),
              peerPrefix: length,
              unseal: (bytes) => bytes,
            }),
        );
      },
    });
    this.#opener.start();
  }

  /** What each end has counted. */
  get stats(): Readonly<Record<End, EngineStats>> {
    return { client: this.#opener.stats, server: this.#acceptor.stats };
  }

  /**
   * Opens a stream and returns its near end; `onFar` gets the far one when that has heard of it. Of several streams
   * on their way at once all far ends go to the last `onFar`, which knows them by the `port` of their destination.
   */
  open(onFar: (far: TunnelStream) => void, port = 80): TunnelStream {
    const ignore = (stream: TunnelStream) => {
      stream.opened.catch(() => {});
      stream.closed.catch(() => {});
      return stream;
    };
    this.#tunnels.server.onStream = (far) => {
      far.accept();
      onFar(ignore(far));
    };
    return ignore(this.#tunnels.client.open({ host: "simulated.example", port }));
  }

  /**
   * Lets time pass until `done` says so, or for `most` milliseconds. Returns whether `done` did.
   */
  run(most: number, done: () => boolean = () => false): boolean {
    let said = false;
    this.clock.run(this.clock.now() + most, () => said ||= done());
    return said;
  }

  /** Ends both ends. */
  stop(): void {
    this.#opener.stop();
    this.#acceptor.stop();
  }
}
