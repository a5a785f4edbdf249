import type { ModelPlugin } from "./contract.ts";

type Random = Parameters<ModelPlugin["connection"]>[0];

// Pages and their parts: replace it by what you know of a protocol. Whatever varies must come from
// `random`; `deno task plugin test` says what must hold.

/** Log-normal about `median`: as sizes and pauses of people and programs tend to be. */
function around(random: Random, median: number, spread: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random.float())) *
    Math.cos(2 * Math.PI * random.float());
  return median * Math.exp(spread * normal);
}

/** Bytes on the wire: no message is smaller than 23, and none of ours is larger than 10 MB. */
function sizeAround(random: Random, median: number, spread: number): number {
  return Math.round(Math.min(1e7, Math.max(23, around(random, median, spread))));
}

const model: ModelPlugin = {
  contract: 1,
  plugin: "model",
  name: "my-model",
  protocol: "https",
  carrier: "tls",

  /** Pauses before each episode of a session: a user reads. */
  session(random) {
    const pauses = [0];
    for (let more = 2 + random.integer(8); more > 0; more--) {
      pauses.push(Math.min(600_000, around(random, 15_000, 1)));
    }
    return { pauses };
  },

  /** Starts of the connections of an episode: a page and what belongs to it. */
  episode(random) {
    const starts = [0];
    for (let more = random.integer(3); more > 0; more--) {
      starts.push(Math.min(5000, around(random, 80, 0.7)));
    }
    return { starts };
  },

  /** Requests and their answers, until the client has seen enough. */
  connection(random) {
    const exchanges = [];
    for (let more = 1 + random.integer(6); more > 0; more--) {
      exchanges.push({
        request: {
          type: "data" as const,
          size: sizeAround(random, 480, 0.3),
          time: Math.min(60_000, around(random, 30, 1)),
        },
        response: [{
          type: "data" as const,
          size: sizeAround(random, 12_000, 1.3),
          time: Math.min(60_000, around(random, 8, 0.8)),
        }],
      });
    }
    return { exchanges, close: { by: "client", how: "fin", time: 0 } };
  },
};

export default model;
