import { keyMaterialOf } from "./tls_hello.ts";

/** A range of a byte stream: `[from, to)`. */
export type ByteRange = readonly [from: number, to: number];

const HANDSHAKE_TYPES: ReadonlySet<number> = new Set([20, 21, 22]);
const CHANGE_CIPHER_SPEC = 20;
const HANDSHAKE = 22;
const MSG_NEWKEYS = 21;

/**
 * What of one direction of a connection must not be shipped: ranges of its byte stream, in order, to be
 * overwritten with zeros. What remains shows how the carrier frames and negotiates, and no content:
 *
 * - TLS: record headers, and records of plain handshake without their key material.
 * - SSH: the version line and packets up to NEWKEYS.
 * - SMTP: the dialogue up to STARTTLS, then as TLS; without it, mails and credentials go.
 * - Anything else: nothing remains.
 *
 * `stream` starts at the first byte after the SYN and ends where the capture or its first gap does; what
 * comes after must be overwritten whole.
 */
export function redactionOf(stream: Uint8Array): ByteRange[] {
  if (isTls(stream, 0)) return tls(stream, 0);
  const start = text(stream, 0, 4);
  if (start === "SSH-") return ssh(stream);
  if (start === "220 " || start === "220-") return smtpServer(stream);
  if (/^(EHLO|HELO)/i.test(start)) return smtpClient(stream);
  return [[0, stream.length]];
}

function text(stream: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...stream.subarray(from, Math.min(to, stream.length)));
}

function isTls(stream: Uint8Array, at: number): boolean {
  return stream.length >= at + 3 && HANDSHAKE_TYPES.has(stream[at]!) && stream[at + 1] === 3 &&
    stream[at + 2]! <= 4;
}

function tls(stream: Uint8Array, start: number): ByteRange[] {
  const ranges: ByteRange[] = [];
  let encrypted = false;
  for (let at = start; at < stream.length;) {
    const type = stream[at]!;
    if (type < 20 || type > 24 || at + 5 > stream.length || stream[at + 1] !== 3) {
      ranges.push([at, stream.length]);
      break;
    }
    const end = Math.min(stream.length, at + 5 + (stream[at + 3]! << 8 | stream[at + 4]!));
    if (type === CHANGE_CIPHER_SPEC) encrypted = true;
    else if (encrypted || !HANDSHAKE_TYPES.has(type)) ranges.push([at + 5, end]);
    else if (type === HANDSHAKE) {
      const base = at;
      const keys = keyMaterialOf(stream.subarray(at, end));
      ranges.push(...keys.map(([from, to]) => [base + from, base + to] as const));
    }
    at = end;
  }
  return ranges;
}

function ssh(stream: Uint8Array): ByteRange[] {
  const version = lineEnd(stream, 0);
  let at = version;
  while (at + 6 <= stream.length) {
    const view = new DataView(stream.buffer, stream.byteOffset + at);
    const end = at + 4 + view.getUint32(0);
    if (end > stream.length) break;
    at = end;
    if (view.getUint8(5) === MSG_NEWKEYS) break;
  }
  return [[at, stream.length]];
}

/** Where the line that starts at `at` ends, its line feed included. */
function lineEnd(stream: Uint8Array, at: number): number {
  const feed = stream.indexOf(10, at);
  return feed < 0 ? stream.length : feed + 1;
}

function smtpServer(stream: Uint8Array): ByteRange[] {
  for (let at = 0; at < stream.length; at = lineEnd(stream, at)) {
    if (isTls(stream, at)) return tls(stream, at);
  }
  return [];
}

function smtpClient(stream: Uint8Array): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (let at = 0; at < stream.length;) {
    if (isTls(stream, at)) return [...ranges, ...tls(stream, at)];
    const end = lineEnd(stream, at);
    const line = text(stream, at, Math.min(end, at + 512)).trim();
    if (/^(EHLO|HELO|STARTTLS|RSET|NOOP|QUIT)\b/i.test(line)) at = end;
    else if (/^DATA$/i.test(line)) {
      const last = endOfMail(stream, end);
      ranges.push([end, last]);
      at = last;
    } else {
      // Addresses and credentials: no more than a verb may stay.
      ranges.push([/^(AUTH|MAIL|RCPT|VRFY) /i.test(line) ? at + 4 : at, end]);
      at = end;
    }
  }
  return ranges;
}

/** Where the mail that starts at `at` ends: behind its line with a lone dot. */
function endOfMail(stream: Uint8Array, at: number): number {
  for (let line = at; line < stream.length; line = lineEnd(stream, line)) {
    if (stream[line] === 46 && (stream[line + 1] === 13 || stream[line + 1] === 10)) {
      return lineEnd(stream, line);
    }
  }
  return stream.length;
}
