import { LinkType, writeCaptureFile } from "../../capture/mod.ts";
import type { LabelledCaptures } from "../../evaluation/samples.ts";
import { type Dialogue, madeConnections } from "../evaluation/made_captures.ts";

/** A long download in answer to a request. */
const video: Dialogue = (draws) => {
  const messages = [400 + draws.integer(200)];
  for (let i = 30 + draws.integer(30); i > 0; i--) messages.push(-(1300 + draws.integer(148)));
  return messages;
};

/** Requests and answers of all sizes. */
const web: Dialogue = (draws) => {
  const messages: number[] = [];
  for (let i = 2 + draws.integer(4); i > 0; i--) {
    messages.push(200 + draws.integer(500), -(300 + draws.integer(1100)));
  }
  return messages;
};

/** A little now and then. */
const weather: Dialogue = (draws) => [90 + draws.integer(20), -(150 + draws.integer(60))];

/** What the applications do. */
export const APPLICATIONS: Readonly<Record<string, Dialogue>> = { video, weather, web };

/** Writes rounds of all applications as `DIR/round-K/APP.pcap.gz` and hands over the folder. */
export async function withRounds(
  rounds: number,
  flows: number,
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (let round = 1; round <= rounds; round++) {
      await Deno.mkdir(`${folder}/round-${round}`);
      let seed = 100 * round;
      for (const [name, dialogue] of Object.entries(APPLICATIONS)) {
        const path = `${folder}/round-${round}/${name}.pcap`;
        await writeCaptureFile(path, madeConnections(dialogue, flows, seed++), {
          format: "pcap",
          linkType: LinkType.ethernet,
        });
        const packed = new Blob([await Deno.readFile(path)]).stream()
          .pipeThrough(new CompressionStream("gzip"));
        await Deno.writeFile(`${path}.gz`, packed);
        await Deno.remove(path);
      }
    }
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The captures of some rounds of {@linkcode withRounds}. */
export function capturesOf(folder: string, rounds: readonly number[]): LabelledCaptures[] {
  return Object.keys(APPLICATIONS).map((label) => ({
    label,
    captures: rounds.map((round) => `${folder}/round-${round}/${label}.pcap.gz`),
  }));
}
