import { PROTOCOL_TCP, readCapture, TCP_SYN } from "../../capture/mod.ts";
import { CLIENT } from "../../capture/side.ts";
import { Draws } from "../../plugins/attacks/draws.ts";
import { type Exemption, exemptionsOf } from "../fully_encrypted.ts";
import { RecordLayout, TLS_HANDSHAKE } from "../simulation/record_layout.ts";

/** What the rules against fully encrypted traffic say of some first payloads. */
export interface FirstPayloads {
  /** What they are of. */
  readonly name: string;
  /** How many. */
  readonly n: number;
  /** How many would be blocked. */
  readonly blocked: number;
  /** How many each rule lets pass. */
  readonly passed: Readonly<Partial<Record<Exemption, number>>>;
}

/** Bytes of a hello up to its randomness. */
const HELLO_HEAD = 11;

/** Payloads of random bytes that are judged beside the others: what the rules are made to find. */
const RANDOM = 1000;

function judge(name: string, payloads: readonly Uint8Array[]): FirstPayloads {
  const passed: Partial<Record<Exemption, number>> = {};
  let blocked = 0;
  for (const payload of payloads) {
    const found = exemptionsOf(payload);
    if (found.length === 0) blocked++;
    for (const rule of found) passed[rule] = (passed[rule] ?? 0) + 1;
  }
  return { name, n: payloads.length, blocked, passed };
}

/** The first payloads of the clients in a capture. */
async function firstPayloads(path: string): Promise<Uint8Array[]> {
  const waiting = new Set<string>();
  const found: Uint8Array[] = [];
  await readCapture(path, (packet) => {
    if (packet.protocol !== PROTOCOL_TCP) return;
    const { addresses, data, destinationPort, flags, payloadCaptured, payloadStart, sourcePort } =
      packet;
    const key = `${addresses.join()} ${sourcePort} ${destinationPort}`;
    if ((flags & TCP_SYN) !== 0) waiting.add(key);
    else if (payloadCaptured > 0 && waiting.delete(key)) {
      found.push(data.slice(payloadStart, payloadStart + payloadCaptured));
    }
  });
  return found;
}

/**
 * What the rules against fully encrypted traffic say: of the real protocols, of cover in TLS, and of random bytes,
 * which they have to block.
 */
export async function judgeFirstPayloads(
  real: readonly { readonly label: string; readonly files: readonly string[] }[],
  seed: number,
): Promise<FirstPayloads[]> {
  const rows: FirstPayloads[] = [];
  for (const { files, label } of real) {
    const payloads: Uint8Array[] = [];
    for (const file of files) payloads.push(...await firstPayloads(file));
    rows.push(judge(`real ${label}`, payloads));
  }
  const draws = new Draws(seed);
  const head = new RecordLayout(CLIENT).read(0, TLS_HANDSHAKE.hello);
  // The simulation leaves a hello's keys and randomness at zero: here they are drawn.
  const hellos = Array.from(
    { length: RANDOM },
    () => head.map((byte, i) => byte === 0 && i > HELLO_HEAD ? draws.integer(256) : byte),
  );
  const random = Array.from(
    { length: RANDOM },
    () => Uint8Array.from({ length: 100 + draws.integer(1300) }, () => draws.integer(256)),
  );
  return [...rows, judge("cover in TLS", hellos), judge("random bytes (control)", random)];
}
