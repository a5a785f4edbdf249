import type { ConnectionPlan, CoverModel, DataRequest, End } from "../../models/mod.ts";
import { substream } from "../../models/mod.ts";
import { digestHead, encodeSetup, frameOverhead } from "../../playback/engine_frames.ts";
import { type DrawnOpenings, Lead, type Opening, type SizeGrid } from "../../playback/mod.ts";
import { recordsOf } from "../../playback/script.ts";
import { HELLO_LENGTH, TOKEN_LENGTH } from "../../transports/mimic/mod.ts";

/** One message of a connection: sizes on the wire. */
export interface PlannedMessage {
  readonly end: End;
  /** Bytes of each of its records on the wire. */
  readonly records: readonly number[];
  /** Milliseconds after its trigger. */
  readonly time: number;
  /** Bytes on the wire that the other end must have sent before, in all. */
  readonly after: number;
}

/** One connection, in the order in which they open. */
export interface PlannedConnection {
  readonly session: number;
  readonly serial: number;
  readonly messages: readonly PlannedMessage[];
  /** Bytes on the wire of the request for a command that it opens with, if it does. */
  readonly command: number | undefined;
  readonly close: ConnectionPlan["close"];
  /** After the start of the one before, if that is what its opening counts from: milliseconds. */
  readonly opensAfter: number | undefined;
  /** The end that it shares with others of its session, by a number. */
  readonly sharesEnd: number | undefined;
  /** When it opens. */
  readonly opening: Pick<Opening, "after" | "time">;
  /** Connections that there must be room for when it opens: its own, and those of the episode that it begins. */
  readonly room: number;
}

/** Who draws, and from what. */
export interface WireSeeds {
  readonly master: End;
  /** The client's seed, 32 bytes. */
  readonly client: Uint8Array;
  /** The server's, where it leads. */
  readonly server: Uint8Array;
}

/** Bytes of the frame that names a connection's kind: room for it is kept in every first record. */
const KIND = 4;

function messagesOf({ exchanges }: ConnectionPlan, grid: SizeGrid): PlannedMessage[] {
  const messages: PlannedMessage[] = [];
  const sent: Record<End, number[]> = { client: [], server: [] };
  const add = (end: End, request: DataRequest) => {
    const peer = sent[end === "client" ? "server" : "client"];
    let after = peer.reduce((sum, size) => sum + size, 0);
    let lead = request.lead ?? 0;
    // Records of which a byte need not have come are not waited for at all.
    for (let i = peer.length - 1; i >= 0 && lead > 0; i--) {
      lead -= peer[i]!;
      after -= peer[i]!;
    }
    const records = recordsOf(request, grid);
    messages.push({ end, records, time: request.time, after });
    sent[end].push(...records);
  };
  for (const { request, response } of exchanges) {
    add("client", request);
    for (const message of response) add("server", message);
  }
  return messages;
}

/** How many connections the episode has that begins with one, up to `most`. */
function roomOf(openings: DrawnOpenings, session: number, serial: number, most: number): number {
  let room = 1;
  for (; room < most; room++) {
    const next = openings.opening(session, serial + room);
    if (next === "end" || next.begins) break;
  }
  return room;
}

/**
 * What the first `count` connections of a tunnel with one session are to do, in `strict` and derived form: drawn
 * from the model and the seeds, and from nothing that was played. The first is the client's own in any case.
 */
export function plannedConnections(
  model: CoverModel,
  { client, master, server }: WireSeeds,
  grid: SizeGrid,
  count: number,
): PlannedConnection[] {
  const setupSeed = (seed: Uint8Array) => substream(seed, "setup").subarray(0, 16);
  const own = new Lead(model, setupSeed(client), { adaptive: false });
  const lead = master === "client" ? own : new Lead(model, setupSeed(server), { adaptive: false });
  const usual = TOKEN_LENGTH + 2 + (master === "server" ? KIND : 0);
  // The first record of all holds the hello and the set-up, whose length depends on this number.
  let first = usual;
  for (let pass = 0; pass < 3; pass++) {
    const { length } = encodeSetup({
      form: "derived",
      master,
      schedule: "strict",
      sessions: 1,
      minimum: usual,
      minimumHere: first,
      digest: digestHead(model.description.digest),
      seed: setupSeed(client),
    });
    first = Math.max(first, HELLO_LENGTH + length + frameOverhead(length));
  }
  const planned: PlannedConnection[] = [];
  // A master at the server is heard of by its first message: until then the client goes on with what is its own.
  let heard = master === "client";
  for (let session = 0, serial = 0; planned.length < count;) {
    const { openings } = heard ? lead : own;
    const opening = openings.opening(session, serial);
    if (opening === "end") {
      session++;
      serial = 0;
      continue;
    }
    const { command, plan } = planned.length === 0 || !heard
      ? own.draw(session, serial, 0, first, grid)
      : lead.draw(session, serial, 0, usual, grid, true);
    heard ||= plan.exchanges.some(({ response }) => response.length > 0);
    planned.push({
      session,
      serial,
      messages: messagesOf(plan, grid),
      command,
      close: plan.close,
      opensAfter: opening.after === "start" && serial > 0 ? opening.time : undefined,
      sharesEnd: opening.end,
      opening: { after: opening.after, time: opening.time },
      room: opening.begins ? roomOf(openings, session, serial, model.mostOpen ?? 1) : 1,
    });
    serial++;
  }
  return planned;
}
