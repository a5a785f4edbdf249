/**
 * A program of its own, for transfers whose two ends are in different network namespaces: `serve` is a
 * destination that swallows uploads and serves downloads, `carry` goes through a tunnel's door to it,
 * both ways in turn, and prints what it saw as one line of JSON. Both are given the payload as a file.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Transfer } from "./demo/transfer.ts";

/** What `carry` prints. */
export interface CarriedTransfers {
  /** User data from the client. */
  readonly up: Transfer;
  /** User data to the client. */
  readonly down: Transfer;
}

const UPLOAD = 0x55;
const DOWNLOAD = 0x44;
/** An answer begins with a time, in milliseconds since the Unix epoch. */
const TIME = 8;

/** Both programs run on one machine: its clock is the same in all namespaces. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function stamped(time: number, bytes: Uint8Array): Uint8Array {
  const answer = new Uint8Array(TIME + bytes.length);
  new DataView(answer.buffer).setFloat64(0, time);
  answer.set(bytes, TIME);
  return answer;
}

async function writeToEnd(connection: Deno.TcpConn, ...parts: Uint8Array[]): Promise<void> {
  for (const bytes of parts) {
    for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
  }
  await connection.closeWrite();
}

/** Not by `connection.readable`, which closes the connection at the end. */
async function readToEnd(connection: Deno.TcpConn): Promise<Uint8Array> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (;;) {
    const buffer = new Uint8Array(65_536);
    const count = await connection.read(buffer);
    if (count === null) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(buffer.subarray(0, count));
  }
}

async function serve(hostname: string, port: number, payload: Uint8Array): Promise<void> {
  for await (const connection of Deno.listen({ hostname, port })) {
    const answer = async () => {
      const asked = await readToEnd(connection);
      if (asked[0] === DOWNLOAD) await writeToEnd(connection, stamped(now(), payload));
      else await writeToEnd(connection, stamped(now(), sha256(asked.subarray(1))));
    };
    answer().catch(() => {}).finally(() => connection.close());
  }
}

async function carry(
  hostname: string,
  port: number,
  payload: Uint8Array,
): Promise<CarriedTransfers> {
  const ask = async (kind: number, bytes: Uint8Array) => {
    using connection = await Deno.connect({ hostname, port });
    const start = now();
    await writeToEnd(connection, Uint8Array.of(kind), bytes);
    const answer = await readToEnd(connection);
    const time = answer.length < TIME ? NaN : new DataView(answer.buffer).getFloat64(0);
    return { start, time, end: now(), content: answer.subarray(TIME) };
  };
  const up = await ask(UPLOAD, payload);
  const down = await ask(DOWNLOAD, new Uint8Array(0));
  return {
    up: {
      bytes: payload.length,
      duration: up.time - up.start,
      sha256Match: same(up.content, sha256(payload)),
    },
    down: {
      bytes: payload.length,
      duration: down.end - down.time,
      sha256Match: same(down.content, payload),
    },
  };
}

if (import.meta.main) {
  const [what, hostname, port, file] = Deno.args;
  const payload = await Deno.readFile(file!);
  if (what === "serve") await serve(hostname!, Number(port), payload);
  else {
    const carried = await carry(hostname!, Number(port), payload);
    Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(carried)}\n`));
  }
}
