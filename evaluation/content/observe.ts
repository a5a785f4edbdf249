import { Buffer } from "node:buffer";
import type { Random } from "../../lab/random.ts";
import { seededRandom } from "../../lab/random.ts";
import type { LinkProfile } from "../../lab/link_profile.ts";
import type { CoverModel } from "../../models/mod.ts";
import type { Scheduling } from "../../playback/mod.ts";
import type { PathPacket } from "../../lab/tcp_path.ts";
import { coverSeed } from "../demo/play.ts";
import { SimulatedTunnel } from "../simulation/simulated_tunnel.ts";
import { flowsOfPath, type FlowStart } from "./flow.ts";
import { BareNetwork, RelayNetwork, TunnelNetwork } from "./networks.ts";
import { type Network, type Process, Stage } from "./stage.ts";
import { type Trace, traceOf } from "./trace.ts";

/** What lies between the observer and the user's data. */
export type Disguise =
  | {
    /** `bare`: the applications' own connections; `relay`: a plain relay over TLS, one hop further. */
    readonly how: "bare" | "relay";
  }
  | {
    /** A tunnel under cover. */
    readonly how: "tunnel";
    /** The model, by name or path; `constant-rate:28` is constant rate of so many kbit/s. */
    readonly model: string;
    /** Who decides when episodes start. */
    readonly schedule: Scheduling;
  };

/** What tables call a disguise. */
export function nameOf(disguise: Disguise): string {
  if (disguise.how !== "tunnel") return disguise.how === "bare" ? "bare" : "plain relay";
  const { model, schedule } = disguise;
  // Nobody asks under which schedule constant rate is constant.
  return model.startsWith("constant-rate") && schedule === "strict"
    ? model
    : `${model}, ${schedule}`;
}

/** Something that a user does while somebody watches. */
export interface Scene {
  /** Its class. */
  readonly label: number;
  /** What happens. */
  readonly perform: (stage: Stage, random: Random, onKey: (time: number) => void) => Process;
}

/** What was seen of a scene, and what was true. */
export interface Seen {
  /** Its class. */
  readonly label: number;
  /** What the observer sees. */
  readonly trace: Trace;
  /** Milliseconds that it took; infinity if it did not come to its end in the window. */
  readonly took: number;
  /** Milliseconds since the window's beginning of each key that was pressed. */
  readonly keys: Float64Array;
  /** Connections that were opened while it went on. */
  readonly flows: readonly FlowStart[];
}

/** How scenes are watched. */
export interface ObserveOptions {
  /** What lies between. */
  readonly disguise: Disguise;
  /** Its model, of a tunnel. */
  readonly model?: CoverModel;
  /** The link. */
  readonly link: LinkProfile;
  /** Milliseconds that the observer looks at, from the scene's beginning. */
  readonly window: number;
  /** Text that everything is drawn from. */
  readonly seed: string;
}

/** Milliseconds one way from the tunnel's server to where users want to go. */
export const BEYOND_MS = 10;
/** Milliseconds before the first scene of a tunnel. */
const WARM_UP = 30_000;
/** Milliseconds between scenes of a tunnel at least, and what may be added. */
const PAUSE = 1_500;

/**
 * Watches scenes one after the other. Bare connections have a link to themselves, scenes in a tunnel one tunnel, with
 * pauses in which nothing is wanted. The observer is told when a scene begins, and sees as many milliseconds of each:
 * how long it took is not given away by the window.
 */
export function observe(scenes: readonly Scene[], options: ObserveOptions): Seen[] {
  const { disguise, link, model, seed, window } = options;
  if (disguise.how !== "tunnel") {
    return scenes.map((scene, i) => {
      const bare = new BareNetwork(link);
      const network = disguise.how === "bare" ? bare : new RelayNetwork(bare, BEYOND_MS);
      const watched = watch(scene, network, window, seededRandom(seed, i), (until) => {
        bare.clock.run(until);
      });
      return { ...watched, ...look(bare.packets, 0, window, watched.took) };
    });
  }
  const tunnel = new SimulatedTunnel({
    model: model!,
    link,
    seed: new Uint8Array(Buffer.from(coverSeed(seed, disguise.model), "hex")),
    schedule: disguise.schedule,
    keep: true,
  });
  const pauses = seededRandom(seed, "pauses");
  const { clock, path } = tunnel;
  tunnel.run(WARM_UP);
  const network = new TunnelNetwork(tunnel, BEYOND_MS);
  const seen = scenes.map((scene, i) => {
    path.packets.length = 0;
    const from = clock.now();
    const watched = watch(scene, network, window, seededRandom(seed, i), (until) => {
      clock.run(until);
    });
    const looked = look(path.packets, from, window, watched.took);
    tunnel.run(PAUSE * (1 + pauses.float()));
    return { ...watched, ...looked };
  });
  tunnel.stop();
  return seen;
}

function look(
  packets: readonly PathPacket[],
  from: number,
  window: number,
  took: number,
): Pick<Seen, "trace" | "flows"> {
  const flows = flowsOfPath(packets).filter(({ start }) =>
    start >= from && start < from + Math.min(took, window)
  );
  return { trace: traceOf(packets, from, window), flows };
}

function watch(
  { label, perform }: Scene,
  network: Network,
  window: number,
  random: Random,
  run: (until: number) => void,
): Omit<Seen, "trace" | "flows"> {
  const stage = new Stage(network);
  const from = stage.now;
  const keys: number[] = [];
  let took = Infinity;
  stage.run(
    perform(stage, random, (time) => keys.push(time - from)),
    () => took = stage.now - from,
  );
  run(from + window);
  stage.end();
  return { label, took, keys: Float64Array.from(keys) };
}
