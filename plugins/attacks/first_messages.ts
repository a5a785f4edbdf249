import type { AttackPlugin, SampleSet } from "../attack.ts";
import { boostedAttack } from "./boosted_attack.ts";
import type { Rows } from "./scaler.ts";

/** Columns of each message. */
const COLUMNS = ["size", "gap", "clientBytes", "serverBytes", "reaction"] as const;

/** Names of the columns of the first `most` messages. */
export function firstMessageNames(most: number): string[] {
  return Array.from({ length: most }, (_, i) => COLUMNS.map((name) => `${name}${i}`)).flat();
}

/**
 * The first `most` messages of each sample, one after the other: signed size, milliseconds since the message before,
 * bytes of each side so far, and milliseconds since the other side last spoke. What is not there is 0 for a size and
 * -1 for a time. With `clock` (milliseconds) above 0, times are read to that only. Nothing that comes later is looked
 * at: it is what a filter can decide by while the connection goes on.
 */
export function firstMessageRows(samples: SampleSet, most: number, clock = 0): Rows {
  const read = (time: number) => clock > 0 ? clock * Math.round(time / clock) : time;
  const width = most * COLUMNS.length;
  const values = new Float64Array(samples.count * width);
  for (let i = 0; i < samples.count; i++) {
    const from = samples.offsets[i]!;
    const count = Math.min(most, samples.offsets[i + 1]! - from);
    let client = 0;
    let server = 0;
    let lastClient = NaN;
    let lastServer = NaN;
    for (let m = 0; m < most; m++) {
      const at = i * width + m * COLUMNS.length;
      if (m >= count) {
        values[at + 1] = -1;
        values[at + 2] = client;
        values[at + 3] = server;
        values[at + 4] = -1;
        continue;
      }
      const size = samples.sizes[from + m]!;
      const time = samples.times[from + m]!;
      const before = m === 0 ? 0 : samples.times[from + m - 1]!;
      const other = size > 0 ? lastServer : lastClient;
      if (size > 0) {
        client += size;
        lastClient = time;
      } else {
        server -= size;
        lastServer = time;
      }
      values[at] = size;
      values[at + 1] = read(time - before);
      values[at + 2] = client;
      values[at + 3] = server;
      values[at + 4] = Number.isNaN(other) ? -1 : read(time - other);
    }
  }
  return { count: samples.count, width, values };
}

/** Messages looked at unless told. */
const MESSAGES = 16;

/** An attacker of sequences who decides by the first messages of a connection: boosted trees over each of them. */
const firstMessages: AttackPlugin = boostedAttack({
  name: "first-messages",
  parameters: { messages: { default: MESSAGES, min: 1, max: 100, integer: true } },
  rows: (samples, { clock, messages }) => firstMessageRows(samples, messages, clock),
  columns: (_, { messages }) => firstMessageNames(messages),
});

export default firstMessages;
