import type { CoverModel } from "../models/cover_model.ts";
import { Acceptor } from "./acceptor.ts";
import { Opener } from "./opener.ts";
import { ReliableTunnel } from "./tunnel.ts";
import { VirtualClock } from "./virtual_clock.ts";
import { VirtualNetwork } from "./virtual_network.ts";

/** Connections that are played. */
const CONNECTIONS = 3;
/** Bytes of user data each way. */
const DATA = 2000;
/** Milliseconds of virtual time that they get at most, and in one go. */
const MOST = 60_000;
const STEP = 1000;
/** Digests of the models that have been played. */
const warm = new Set<string>();

/**
 * Plays some connections of `model` in virtual time and throws them away: code that runs for the first time takes
 * milliseconds, by which the first real messages would be late. Returns after some tens of milliseconds, the second
 * time at once.
 *
 * @example
 * ```ts
 * import { ConstantRate } from "../models/constant_rate.ts";
 * import { warmUp } from "./warm_up.ts";
 * warmUp(new ConstantRate());
 * ```
 */
export function warmUp(model: CoverModel): void {
  const { digest } = model.description;
  if (warm.has(digest)) return;
  warm.add(digest);
  const clock = new VirtualClock();
  const network = new VirtualNetwork(clock);
  const [near, far] = (["client", "server"] as const).map((end) =>
    new ReliableTunnel({ end, clock })
  ) as [ReliableTunnel, ReliableTunnel];
  far.onStream = (stream) => {
    stream.accept();
    stream.write(new Uint8Array(DATA));
  };
  near.open({ host: "localhost", port: 1 }).write(new Uint8Array(DATA));
  const acceptor = new Acceptor({ clock, tunnel: far, models: [model] });
  const opener = new Opener({
    clock,
    tunnel: near,
    model,
    // What is drawn is of no use to anybody.
    seed: new Uint8Array(16),
    dial: ({ done, serial, session }) =>
      network.dial(
        (connection) => done({ connection }),
        (connection) => acceptor.accept(connection, { session, serial }),
      ),
  });
  opener.start();
  for (let time = STEP; time <= MOST && opener.stats.completed < CONNECTIONS; time += STEP) {
    clock.run(time);
  }
  opener.stop();
  acceptor.stop();
}
