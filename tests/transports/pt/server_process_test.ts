import assert from "node:assert/strict";
import { cookieHash } from "../../../transports/pt/mod.ts";
import { bytesOf, echo, PtProcess, SERVER, serveTcp, Wire } from "./harness.ts";

const COOKIE_HEADER = "! Extended ORPort Auth Cookie !\n";
const text = (bytes: number[]) => String.fromCharCode(...bytes);

Deno.test("a server's lines, in tor's order", async () => {
  await using process = await PtProcess.start({
    ...SERVER,
    TOR_PT_SERVER_TRANSPORTS: "nosuch,rot,plain,six,broken,blank,port0",
    TOR_PT_SERVER_BINDADDR: "rot-127.0.0.1:0,nosuch-[::1]:7,plain-[::1]:0",
    TOR_PT_SERVER_TRANSPORT_OPTIONS: "rot:by=42;nosuch:x=1\\:2",
  });
  const lines = await process.until(/DONE/);
  assert.equal(lines[0], "VERSION 1");
  assert.equal(lines[1], 'STATUS TRANSPORT=rot STATE="up and away"');
  assert.match(
    lines[2]!,
    /^SMETHOD rot 127\.0\.0\.1:[1-9]\d* ARGS:by=42,a\\,b=c\\=d\\\\e$/,
  );
  assert.match(lines[3]!, /^SMETHOD plain \[::1\]:[1-9]\d*$/);
  assert.match(lines[4]!, /^SMETHOD six \[::1\]:[1-9]\d*$/);
  assert.equal(lines[5], "SMETHOD-ERROR broken it cannot start ?");
  assert.match(lines[6]!, /^SMETHOD-ERROR blank .*blank/);
  assert.match(lines[7]!, /^SMETHOD-ERROR port0 .*port/);
  assert.equal(lines[8], 'STATUS TYPE=version IMPLEMENTATION="toy" VERSION="1.0 \\"b\\""');
  assert.equal(lines[9], "SMETHODS DONE");
});

Deno.test("TOR_PT_SERVER_BINDADDR may be omitted: the server chooses", async () => {
  await using process = await PtProcess.start({
    ...SERVER,
    TOR_PT_SERVER_BINDADDR: "",
    TOR_PT_EXTENDED_SERVER_PORT: "",
  });
  const { line } = await process.method();
  assert.match(line, /^SMETHOD rot 0\.0\.0\.0:[1-9]\d* ARGS:/);
});

Deno.test("unknown transports alone: no error, and an empty list", async () => {
  await using process = await PtProcess.start({
    ...SERVER,
    TOR_PT_SERVER_TRANSPORTS: "nosuch,toString,no-name",
    TOR_PT_SERVER_BINDADDR: "nosuch-127.0.0.1:0",
  });
  const lines = await process.until(/DONE/);
  assert.deepEqual([lines[0], lines.at(-1)], ["VERSION 1", "SMETHODS DONE"]);
  assert.deepEqual(lines.filter((line) => line.startsWith("SMETHOD-ERROR")), []);
});

Deno.test("a transport is given its own options, unescaped, repeated keys in order", async () => {
  await using process = await PtProcess.start({
    ...SERVER,
    TOR_PT_SERVER_TRANSPORTS: "told",
    TOR_PT_SERVER_BINDADDR: "told-127.0.0.1:0",
    TOR_PT_SERVER_TRANSPORT_OPTIONS:
      "told:at=12\\:30;rot:by=1;told:path=a\\;b\\\\c;told:at=again;told:raw=x=y,z;told:none=",
  });
  const { line } = await process.method();
  assert.match(line, / ARGS:at=12:30,at=again,path=a;b\\\\c,raw=x\\=y\\,z,none=$/);
});

Deno.test("at the first SIGINT a server listens no more, and the last connection ends it", async () => {
  await using or = await serveTcp(({ socket }) => void socket.pipe(socket));
  await using process = await PtProcess.start({
    ...SERVER,
    TOR_PT_ORPORT: `127.0.0.1:${or.port}`,
  });
  const { host, port } = await process.method();
  using wire = await Wire.open(host, port);
  wire.send("before");
  // A connection that the process has not yet taken would end with the listener.
  assert.deepEqual(await wire.read(6), bytesOf("before"));
  process.kill("SIGINT");
  for (;;) {
    const refused = await Wire.open(host, port).then((wire) => wire.socket.destroy(), String);
    if (typeof refused === "string") break;
  }
  wire.send(" and after").socket.end();
  assert.deepEqual(await wire.all(), bytesOf(" and after"));
  assert.equal((await process.rest()).code, 0);
});

Deno.test("a port that is in use is an SMETHOD-ERROR", async () => {
  await using taken = await serveTcp(() => {});
  await using process = await PtProcess.start({
    ...SERVER,
    TOR_PT_SERVER_BINDADDR: `rot-127.0.0.1:${taken.port}`,
  });
  const lines = await process.until(/DONE/);
  assert.equal(lines[2], "SMETHOD-ERROR rot cannot listen: the address is in use");
});

Deno.test("OR ports beyond loopback are warned of", async () => {
  await using process = await PtProcess.start({
    ...SERVER,
    TOR_PT_ORPORT: "192.0.2.1:9001",
    TOR_PT_EXTENDED_SERVER_PORT: "[2001:db8::1]:9001",
    TOR_PT_AUTH_COOKIE_FILE: "/nowhere",
  });
  const lines = await process.until(/DONE/);
  assert.equal(lines[0], "VERSION 1");
  assert.match(lines[1]!, /^LOG SEVERITY=warning MESSAGE="TOR_PT_ORPORT is not a loopback/);
  assert.match(lines[2]!, /^LOG SEVERITY=warning MESSAGE="TOR_PT_EXTENDED_SERVER_PORT is not/);
});

Deno.test("payload goes to the plain ORPort, over IPv4 and IPv6", async () => {
  for (const host of ["127.0.0.1", "::1"]) {
    await using or = await serveTcp(echo, host);
    const at = host === "::1" ? "[::1]" : host;
    await using process = await PtProcess.start({
      ...SERVER,
      TOR_PT_ORPORT: `${at}:${or.port}`,
      TOR_PT_SERVER_BINDADDR: `rot-${at}:0`,
    });
    const method = await process.method();
    using wire = await Wire.open(method.host, method.port);
    wire.send("payload").socket.end();
    assert.deepEqual(await wire.all(), bytesOf("payload"));
  }
});

/** Tor's Extended ORPort: what it was told goes to `told`. */
interface Play {
  cookie: Uint8Array;
  told: [number, string][];
  /** What it does differently. */
  types?: number[];
  wrongProof?: boolean;
  status?: number;
  answers?: number[][];
  /** Whether any payload came before the answer. */
  early?: boolean;
}

function extOr(play: Play) {
  return async (wire: Wire) => {
    wire.send(play.types ?? [7, 1, 0]);
    assert.deepEqual(await wire.read(1), [1]);
    const clientNonce = Uint8Array.from(await wire.read(32));
    const serverNonce = crypto.getRandomValues(new Uint8Array(32));
    const proof = cookieHash(play.cookie, "server-to-client", clientNonce, serverNonce);
    if (play.wrongProof) proof[0]! ^= 1;
    wire.send([...proof, ...serverNonce]);
    assert.deepEqual(
      await wire.read(32),
      [...cookieHash(play.cookie, "client-to-server", clientNonce, serverNonce)],
    );
    wire.send([play.status ?? 1]);
    for (let command = -1; command !== 0;) {
      const [a, b, c, d] = await wire.read(4);
      command = a! << 8 | b!;
      play.told.push([command, text(await wire.read(c! << 8 | d!))]);
    }
    // Long enough for a server that does not wait to be caught.
    await new Promise((resolve) => setTimeout(resolve, 30));
    play.early = wire.waiting > 0;
    for (const answer of play.answers ?? [[0x10, 0x02, 0, 3, 1, 2, 3], [0x10, 0, 0, 0]]) {
      wire.send(answer);
    }
    await echo(wire);
  };
}

Deno.test("the Extended ORPort: proof, address, name, and no payload before OKAY", async () => {
  const folder = await Deno.makeTempDir({ prefix: "pt-" });
  try {
    for (const host of ["127.0.0.1", "::1"]) {
      const play: Play = { cookie: new Uint8Array(32), told: [] };
      await using or = await serveTcp(extOr(play), host);
      const at = host === "::1" ? "[::1]" : host;
      const cookieFile = `${folder}/cookie`;
      await using process = await PtProcess.start({
        ...SERVER,
        TOR_PT_EXTENDED_SERVER_PORT: `${at}:${or.port}`,
        TOR_PT_AUTH_COOKIE_FILE: cookieFile,
        // A dual-stack socket reports IPv4 clients as ::ffff:127.0.0.1.
        TOR_PT_SERVER_BINDADDR: "rot-[::]:0",
      }, { folder });
      const method = await process.method();
      // Tor writes a new cookie whenever it starts: it is read anew for each connection.
      for (let round = 0; round < 2; round++) {
        play.cookie = crypto.getRandomValues(new Uint8Array(32));
        play.told = [];
        await Deno.writeFile(
          cookieFile,
          Uint8Array.from([...bytesOf(COOKIE_HEADER), ...play.cookie]),
        );
        using wire = await Wire.open(host, method.port);
        const { localPort } = wire.socket;
        wire.send("early payload").socket.end();
        assert.deepEqual(await wire.all(), bytesOf("early payload"));
        assert.deepEqual(play.told, [
          [1, `${at}:${localPort}`],
          [2, "rot"],
          [0, ""],
        ]);
        assert.equal(play.early, false);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an Extended ORPort that refuses, or a cookie that is not tor's, ends the connection", async () => {
  const folder = await Deno.makeTempDir({ prefix: "pt-" });
  const cookieFile = `${folder}/cookie`;
  const good = [...bytesOf(COOKIE_HEADER), ...new Uint8Array(32)];
  try {
    const play: Play = { cookie: new Uint8Array(32), told: [] };
    let current: Partial<Play> = {};
    await using or = await serveTcp((wire) => extOr({ ...play, ...current })(wire));
    await using process = await PtProcess.start({
      ...SERVER,
      TOR_PT_EXTENDED_SERVER_PORT: `127.0.0.1:${or.port}`,
      TOR_PT_AUTH_COOKIE_FILE: cookieFile,
    }, { folder });
    const { host, port } = await process.method();
    const cases: [string, Partial<Play>, number[] | undefined, RegExp][] = [
      ["DENY", { answers: [[0x10, 1, 0, 0]] }, good, /denied/],
      ["no SAFE_COOKIE", { types: [2, 3, 0] }, good, /SAFE_COOKIE/],
      ["no types", { types: [0] }, good, /SAFE_COOKIE/],
      ["wrong proof", { wrongProof: true }, good, /did not prove/],
      ["wrong cookie", {}, [...good.slice(0, 63), 1], /did not prove/],
      ["status 0", { status: 0 }, good, /refused our proof/],
      ["long file", {}, [...good, 0], /65 bytes/],
      ["short file", {}, good.slice(0, 63), /63 bytes/],
      ["wrong header", {}, [33, ...good.slice(0, 63)], /header/],
      ["no file", {}, undefined, /cannot be read/],
    ];
    for (const [name, change, contents, reason] of cases) {
      current = change;
      await Deno.remove(cookieFile).catch(() => {});
      if (contents !== undefined) await Deno.writeFile(cookieFile, Uint8Array.from(contents));
      using wire = await Wire.open(host, port);
      wire.send("payload");
      assert.deepEqual(await wire.all(), [], name);
      assert.match((await process.line())!, reason, name);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
