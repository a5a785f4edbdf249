import assert from "node:assert/strict";
import fc from "fast-check";
import { isOwnHello, readClientHello } from "../../transports/carriers/client_hello.ts";
import { ownHello } from "../../bench/probes.ts";

const own = await ownHello();

/** The first flight of OpenSSL's client. */
async function opensslHello(): Promise<Uint8Array> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const child = new Deno.Command("openssl", {
    args: ["s_client", "-connect", `127.0.0.1:${listener.addr.port}`, "-servername", "a.example"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const conn = await listener.accept();
  const buffer = new Uint8Array(4096);
  const count = await conn.read(buffer);
  conn.close();
  listener.close();
  await child.status;
  return buffer.slice(0, count ?? 0);
}

Deno.test("client hello: ours is read, and is one of ours", () => {
  const hello = readClientHello(own);
  assert.ok(typeof hello === "object");
  assert.equal(hello.serverName, "www.example.com");
  assert.deepEqual(hello.alpn, ["http/1.1"]);
  assert.ok(hello.versions.includes(0x0304));
  assert.equal(hello.random.length, 32);
  const web = { alpn: ["http/1.1"] };
  assert.ok(isOwnHello(hello, web));
  assert.ok(isOwnHello(hello, { serverName: "WWW.example.com", alpn: ["h2", "http/1.1"] }));
  assert.ok(!isOwnHello(hello, { serverName: "other.example" }));
  assert.ok(!isOwnHello(hello, { alpn: ["smtp"] }));
  assert.ok(!isOwnHello({ ...hello, extensions: [...hello.extensions, 41] }, web), "resumption");
  assert.ok(!isOwnHello({ ...hello, versions: [0x0303] }, web), "TLS 1.2 only");
});

Deno.test("client hello: another program's is read, and is none of ours", async () => {
  const hello = readClientHello(await opensslHello());
  assert.ok(typeof hello === "object");
  assert.equal(hello.serverName, "a.example");
  assert.ok(!isOwnHello(hello, { alpn: ["http/1.1"] }));
});

Deno.test("client hello: curl and swaks are ours where our clients speak like them, and resume what is ours only", async () => {
  const hello = readClientHello(await opensslHello());
  assert.ok(typeof hello === "object");
  // OpenSSL's own settings are those of swaks.
  assert.ok(isOwnHello(hello, { serverName: "a.example" }));
  const curl = {
    ...hello,
    alpn: ["h2", "http/1.1"],
    extensions: [...hello.extensions.filter((kind) => kind !== 35), 16, 49],
  };
  assert.ok(isOwnHello(curl, { alpn: ["http/1.1"] }));
  assert.ok(!isOwnHello(curl, { alpn: ["smtp"] }));
  assert.ok(!isOwnHello(curl));
  const [ours, other] = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)];
  const resuming = { ...curl, extensions: [...curl.extensions, 41], ticketName: ours };
  assert.ok(isOwnHello(resuming, { alpn: ["http/1.1"], ticketName: ours }));
  assert.ok(!isOwnHello(resuming, { alpn: ["http/1.1"], ticketName: other }));
  assert.ok(!isOwnHello(resuming, { alpn: ["http/1.1"] }));
  const first = { ...resuming, extensions: [41, ...curl.extensions] };
  assert.ok(!isOwnHello(first, { alpn: ["http/1.1"], ticketName: ours }));
});

Deno.test("client hello: key shares that cost a server much, now or when it asks for another one, are no client's of ours", async () => {
  const hello = readClientHello(await opensslHello());
  assert.ok(typeof hello === "object");
  const [x25519, p256, p384, ffdhe8192, hybrid] = [0x001d, 0x0017, 0x0018, 0x0104, 0x11ec];
  const groups = [...new Set([...hello.groups, hybrid])];
  const own = (...keyShares: number[]) => isOwnHello({ ...hello, groups, keyShares });
  assert.ok(own(x25519) && own(hybrid, x25519) && own(p256));
  for (const dear of [[ffdhe8192], [p384], [x25519, ffdhe8192], [hybrid], []]) {
    assert.ok(!own(...dear), dear.join());
  }
  assert.ok(!isOwnHello({ ...hello, groups: [ffdhe8192], keyShares: [x25519] }));
});

Deno.test("client hello: every beginning may become one, what follows one does not belong to it", () => {
  for (let length = 0; length < own.length; length++) {
    assert.equal(readClientHello(own.subarray(0, length)), "more");
  }
  assert.equal(readClientHello(new Uint8Array([...own, 0])), "none");
  for (const text of ["GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x80\x2e\x01"]) {
    assert.equal(readClientHello(new TextEncoder().encode(text)), "none");
  }
});

Deno.test("client hello: any bytes are read without an error", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
    const read = readClientHello(bytes);
    assert.ok(read === "more" || read === "none" || typeof read === "object");
  }));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(own.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      (changes) => {
        const bytes = own.slice();
        for (const [at, value] of changes) bytes[at] = value;
        const read = readClientHello(bytes);
        if (typeof read === "object") isOwnHello(read, { serverName: "x", alpn: ["y"] });
      },
    ),
    { numRuns: 2000 },
  );
});
