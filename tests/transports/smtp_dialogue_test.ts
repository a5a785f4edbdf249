import assert from "node:assert/strict";
import fc from "fast-check";
import {
  SmtpDialogueError,
  SmtpReplies,
  StartTlsWatch,
} from "../../transports/carriers/smtp_dialogue.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** A dialogue as pieces: `C:` the client's, `S:` the server's. Returns whether the watch takes over. */
function dialogue(...pieces: string[]): boolean {
  const watch = new StartTlsWatch();
  let taken = false;
  for (const piece of pieces) {
    const text = bytes(piece.slice(2));
    if (piece.startsWith("C:")) watch.fromClient(text);
    else taken ||= watch.fromServer(text);
  }
  return taken;
}

Deno.test("smtp: a client that waits for each answer is taken over after STARTTLS", () => {
  const start = ["S:220 hi\r\n", "C:EHLO me\r\n", "S:250-hi\r\n250 STARTTLS\r\n"];
  assert.equal(dialogue(...start, "C:STARTTLS\r\n", "S:220 go\r\n"), true);
  assert.equal(dialogue(...start, "C:starttls \r\n", "S:220 go\r\n"), true);
  assert.equal(dialogue(...start, "C:START", "C:TLS\r", "C:\n", "S:22", "S:0 go\r", "S:\n"), true);
  assert.equal(
    dialogue(...start, "C:NOOP\r\n", "S:250 ok\r\n", "C:STARTTLS\n", "S:220 go\r\n"),
    true,
  );
});

Deno.test("smtp: whoever asks in another way stays with the genuine server", () => {
  const start = ["S:220 hi\r\n", "C:EHLO me\r\n", "S:250-hi\r\n250 STARTTLS\r\n"];
  assert.equal(dialogue(...start, "C:STARTTLS\r\n", "S:454 not now\r\n"), false);
  assert.equal(dialogue(...start, "C:STARTTLS now\r\n", "S:501 no\r\n"), false);
  assert.equal(dialogue(...start, "C:STARTTLS\r\nEHLO x\r\n", "S:220 go\r\n"), false);
  assert.equal(dialogue(...start, "C:STARTTLS\r\n", "C:EHLO", "S:220 go\r\n"), false);
  assert.equal(dialogue("C:STARTTLS\r\n", "S:220 hi\r\n", "S:220 go\r\n"), false);
  assert.equal(
    dialogue("S:220 hi\r\n", "C:EHLO me\r\nSTARTTLS\r\n", "S:250 hi\r\n220 go\r\n"),
    false,
  );
  assert.equal(
    dialogue("S:220 hi\r\n", "C:MAIL\r\n", "S:nonsense\r\n", "C:STARTTLS\r\n", "S:220 go\r\n"),
    false,
  );
  // Two answers at once: the second is not ours to swallow.
  assert.equal(dialogue(...start, "C:STARTTLS\r\n", "S:220 go\r\n220 mo"), false);
});

Deno.test("smtp: how bytes are cut does not matter to what is read", () => {
  const text = fc.stringMatching(/^[ -~]{0,30}$/);
  const reply = fc.record({
    code: fc.integer({ min: 200, max: 599 }),
    lines: fc.array(text, { minLength: 1, maxLength: 5 }),
  }, { noNullPrototype: true });
  fc.assert(fc.property(
    fc.array(reply, { maxLength: 5 }),
    fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 }),
    (wanted, cuts) => {
      const all = bytes(
        wanted.map(({ code, lines }) =>
          lines.map((line, i) => `${code}${i < lines.length - 1 ? "-" : " "}${line}\r\n`).join("")
        ).join(""),
      );
      const reader = new SmtpReplies();
      const seen = [];
      for (let at = 0, i = 0; at < all.length; i++) {
        const end = at + cuts[i % cuts.length]!;
        seen.push(...reader.push(all.subarray(at, end)));
        at = end;
      }
      assert.deepEqual(seen, wanted);
      assert.ok(reader.settled);
    },
  ));
});

Deno.test("smtp: no bytes make reading fail in another way, or hold more than a bound", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.constantFrom("220 hi\r\n", "STARTTLS\r\n", "250-", "EHLO a\r\n", "\n", "220\n").map(bytes),
  );
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), piece), { maxLength: 60 }), (pieces) => {
    const watch = new StartTlsWatch();
    const reader = new SmtpReplies();
    for (const [client, text] of pieces) {
      if (client) watch.fromClient(text);
      else watch.fromServer(text);
      try {
        reader.push(text);
      } catch (error) {
        assert.ok(error instanceof SmtpDialogueError);
        return;
      }
    }
  }));
  const endless = new SmtpReplies();
  assert.throws(() => {
    for (let i = 0; i < 100; i++) endless.push(bytes(`250-${"x".repeat(200)}\r\n`));
  }, SmtpDialogueError);
});
