import assert from "node:assert/strict";
import fc from "fast-check";
import { RecordColumns } from "../../capture/stream_columns.ts";
import { ImapWatch } from "../../examples/imap/carrier.ts";
import { IMAP_RECOGNISER } from "../../examples/imap/recogniser.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** A dialogue: each piece is from the server (`S: `) or the client (`C: `). */
const TALK = [
  "S: * OK [CAPABILITY IMAP4rev1 STARTTLS] ready.\r\n",
  "C: AB0 CAPABILITY\r\n",
  "S: * CAPABILITY IMAP4rev1 STARTTLS\r\nAB0 OK done.\r\n",
  "C: AB1 STARTTLS\r\n",
  "S: AB1 OK Begin TLS negotiation now.\r\n",
];

/** Shows `talk` to a watch; the number of the piece that was the go-ahead, or -1. */
function watched(talk: readonly string[]): number {
  const watch = new ImapWatch();
  for (const [index, piece] of talk.entries()) {
    if (piece.startsWith("C: ")) watch.fromClient(bytesOf(piece.slice(3)));
    else if (watch.fromServer(bytesOf(piece.slice(3)))) return index;
  }
  return -1;
}

/** Shows `talk` to a recogniser. */
function recognised(talk: readonly string[]) {
  const stream = IMAP_RECOGNISER.create(new RecordColumns(64));
  for (const piece of talk) {
    const bytes = bytesOf(piece.slice(3));
    stream.bytes(piece.startsWith("C: ") ? 0 : 1, bytes, 0, bytes.length);
  }
  return stream;
}

Deno.test("imap: a client that waits for each answer is taken over after STARTTLS", () => {
  assert.equal(watched(TALK), 4);
  assert.equal(
    watched(TALK.flatMap((piece) => {
      const [who, text] = [piece.slice(0, 3), piece.slice(3)];
      return [...text].map((letter) => `${who}${letter}`);
    })) > 0,
    true,
    "however bytes are cut",
  );
});

Deno.test("imap: whoever asks in another way stays with the genuine server", () => {
  const other = {
    "before the greeting": [TALK[3]!, ...TALK],
    "before the answer to another command": [TALK[0]!, TALK[1]!, TALK[3]!, TALK[2]!, TALK[4]!],
    "with a handshake at once": [...TALK.slice(0, 3), "C: AB1 STARTTLS\r\n\x16\x03", TALK[4]!],
    "with an argument": [...TALK.slice(0, 3), "C: AB1 STARTTLS now\r\n", "S: AB1 OK\r\n"],
    "and is refused": [...TALK.slice(0, 4), "S: AB1 BAD no.\r\n"],
  };
  for (const [name, talk] of Object.entries(other)) assert.equal(watched(talk), -1, name);
});

Deno.test("imap: the recogniser knows IMAP by both sides, and STARTTLS by the server's OK", () => {
  const full = recognised(TALK);
  assert.deepEqual([full.carrier, full.state], ["imap-starttls", "recognised"]);
  const plain = recognised([TALK[0]!, "C: a LOGIN x y\r\n"]);
  assert.deepEqual([plain.carrier, plain.state], ["imap", "done"]);
  assert.equal(recognised(["S: 220 mail.example ESMTP\r\n"]).state, "rejected");
  assert.equal(recognised(["S: * OK hello\r\n", "C: GET / HTTP/1.1\r\n"]).state, "rejected");
  const refused = recognised([...TALK.slice(0, 4), "S: AB1 NO\r\n"]);
  assert.deepEqual([refused.carrier, refused.state], ["imap", "recognised"]);
});

Deno.test("imap: no room of the core knows of it", async () => {
  const root = new URL("../../", import.meta.url);
  const knowing: string[] = [];
  const look = async (folder: string) => {
    for await (const { isDirectory, name } of Deno.readDir(new URL(folder, root))) {
      if (isDirectory) await look(`${folder}${name}/`);
      else if (name.endsWith(".ts")) {
        const text = await Deno.readTextFile(new URL(`${folder}${name}`, root));
        if (/imap|dovecot/i.test(text)) knowing.push(`${folder}${name}`);
      }
    }
  };
  for (
    const room of ["base", "capture", "models", "playback", "plugins", "protocols", "transports"]
  ) {
    await look(`${room}/`);
  }
  // Tables of well-known ports, of which its own are some.
  assert.deepEqual(knowing.sort(), ["capture/label_by_port.ts", "capture/tls_tickets.ts"]);
});

Deno.test("imap: no bytes make watching or recognising fail, or hold more than a bound", () => {
  const piece = fc.tuple(
    fc.boolean(),
    fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom(...TALK.map((each) => bytesOf(each.slice(3)))),
      fc.constant(new Uint8Array(20_000).fill(65)),
    ),
  );
  fc.assert(fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
    const watch = new ImapWatch();
    const stream = IMAP_RECOGNISER.create(new RecordColumns(64));
    for (const [client, bytes] of pieces) {
      if (client) watch.fromClient(bytes);
      else watch.fromServer(bytes);
      stream.bytes(client ? 0 : 1, bytes, 0, bytes.length);
      if (bytes.length % 7 === 0) stream.gap(client ? 0 : 1, 5);
      assert.ok(["open", "recognised", "done", "rejected"].includes(stream.state));
    }
  }));
});
