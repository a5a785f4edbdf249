import * as v from "valibot";
import { UserError } from "../base/mod.ts";
import type { Machine } from "./machine.ts";
import type { GatewaySettings } from "./settings.ts";
import type { Step } from "./steps.ts";

/** The journal in the state folder cannot be read. */
export class BadJournal extends UserError {}

/** What was changed, or may have been: written before each change. */
export interface Journal {
  /** Which boot of the machine it speaks of: another boot has nothing of it left. */
  readonly boot: string;
  /** `up` when all was done; anything else is the trace of a crash. */
  readonly phase: "going up" | "up" | "going down";
  /** What the gateway was asked to be. */
  readonly settings: GatewaySettings;
  /** Every change of the plan, in order, with the former values. */
  readonly steps: readonly Step[];
  /** How many of them may have been begun. */
  readonly begun: number;
}

const FILE = "journal.json";

const text = v.string();
const schema = v.object({
  boot: text,
  phase: v.picklist(["going up", "up", "going down"]),
  settings: v.object({
    lan: text,
    wan: text,
    address: text,
    rangeStart: text,
    rangeEnd: text,
    router: text,
    dns: v.array(text),
    domain: text,
    leaseSeconds: v.number(),
  }),
  steps: v.array(v.variant("kind", [
    v.object({ kind: v.literal("link"), device: text }),
    v.object({ kind: v.literal("address"), device: text, address: text }),
    v.object({ kind: v.literal("forwarding"), device: text, before: v.picklist(["0", "1"]) }),
    v.object({ kind: v.literal("nft"), rules: text }),
    v.object({ kind: v.literal("dnsmasq"), configuration: text }),
  ])),
  begun: v.pipe(v.number(), v.integer(), v.minValue(0)),
});

/** Reads the journal; undefined if there is none. */
export async function readJournal(machine: Machine): Promise<Journal | undefined> {
  const found = await machine.read(FILE);
  if (found === undefined) return undefined;
  try {
    return v.parse(schema, JSON.parse(found));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new BadJournal(
      `${machine.path(FILE)}: ${why}: put the network back by hand, then remove the file`,
    );
  }
}

/** Writes the journal. */
export async function writeJournal(machine: Machine, journal: Journal): Promise<void> {
  await machine.write(FILE, `${JSON.stringify(journal, undefined, 2)}\n`);
}

/** Removes the journal: nothing of ours is left. */
export async function removeJournal(machine: Machine): Promise<void> {
  await machine.remove(FILE);
}
