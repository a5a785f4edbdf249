import type { ByteRange } from "./redaction.ts";

const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const SESSION_TICKET = 35;
const PRE_SHARED_KEY = 41;
const KEY_SHARE = 51;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;

/**
 * Key material in a hello (RFC 8446, section 4): public keys, tickets, binders and the encrypted inner
 * hello, without the lengths around them. They are random bytes that nothing is learned from, and most of
 * what a hello weighs. Returns ranges relative to the start of `record`, a whole TLS record of type 22.
 */
export function keyMaterialOf(record: Uint8Array): ByteRange[] {
  const ranges: ByteRange[] = [];
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  try {
    const type = view.getUint8(5);
    const client = type === CLIENT_HELLO;
    if (!client && type !== SERVER_HELLO) return [];
    let at = 5 + 4 + 2 + 32;
    at += 1 + view.getUint8(at);
    at += client ? 2 + view.getUint16(at) : 2;
    at += client ? 1 + view.getUint8(at) : 1;
    const end = at + 2 + view.getUint16(at);
    for (at += 2; at < end;) {
      const extension = view.getUint16(at);
      const length = view.getUint16(at + 2);
      at += 4;
      if (extension === SESSION_TICKET) ranges.push([at, at + length]);
      else if (extension === KEY_SHARE) keyShares(view, at, length, client, ranges);
      else if (extension === PRE_SHARED_KEY && client) preSharedKeys(view, at, ranges);
      else if (extension === ENCRYPTED_CLIENT_HELLO && client) innerHello(view, at, ranges);
      at += length;
    }
  } catch (error) {
    // A hello in several records, or none at all: what was found until here.
    if (!(error instanceof RangeError)) throw error;
  }
  return ranges.filter(([from, to]) => from < to && to <= record.length);
}

function keyShares(
  view: DataView,
  start: number,
  length: number,
  client: boolean,
  ranges: ByteRange[],
): void {
  for (let at = client ? start + 2 : start; at + 4 <= start + length;) {
    const size = view.getUint16(at + 2);
    ranges.push([at + 4, at + 4 + size]);
    at += 4 + size;
  }
}

function preSharedKeys(view: DataView, start: number, ranges: ByteRange[]): void {
  let at = start + 2;
  const identities = at + view.getUint16(start);
  while (at < identities) {
    const size = view.getUint16(at);
    ranges.push([at + 2, at + 2 + size]);
    at += 2 + size + 4;
  }
  const binders = at + 2 + view.getUint16(at);
  for (at += 2; at < binders;) {
    const size = view.getUint8(at);
    ranges.push([at + 1, at + 1 + size]);
    at += 1 + size;
  }
}

function innerHello(view: DataView, start: number, ranges: ByteRange[]): void {
  const key = start + 8;
  const payload = key + view.getUint16(start + 6);
  ranges.push([key, payload], [payload + 2, payload + 2 + view.getUint16(payload)]);
}
