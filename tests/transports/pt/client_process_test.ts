import assert from "node:assert/strict";
import {
  bytesOf,
  CLIENT,
  connectRequest,
  credentials,
  echo,
  PtProcess,
  serveTcp,
  Wire,
} from "./harness.ts";

const DEFAULT = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const reply = (code: number) => [5, code, ...DEFAULT.slice(2)];

async function client(transport: string, env: Record<string, string> = {}, ...args: string[]) {
  const process = await PtProcess.start(
    { ...CLIENT, TOR_PT_CLIENT_TRANSPORTS: transport, ...env },
    { args },
  );
  return { process, ...await process.method() };
}

Deno.test("a client's lines, in tor's order", async () => {
  await using process = await PtProcess.start({
    ...CLIENT,
    TOR_PT_CLIENT_TRANSPORTS: "nosuch,rot,broken,no-name,rot,",
  });
  const lines = await process.until(/DONE/);
  assert.equal(lines[0], "VERSION 1");
  assert.match(lines[1]!, /^CMETHOD rot socks5 127\.0\.0\.1:[1-9]\d*$/);
  assert.equal(lines[2], "CMETHOD-ERROR broken it cannot start ?");
  assert.equal(lines[3], 'STATUS TYPE=version IMPLEMENTATION="toy" VERSION="1.0 \\"b\\""');
  assert.deepEqual(lines.slice(4), ["CMETHODS DONE"]);
  const { mode } = await Deno.stat(process.state);
  assert.equal(mode! & 0o777, 0o700);
});

Deno.test("unknown transports alone: no error, and an empty list", async () => {
  await using process = await PtProcess.start({ ...CLIENT, TOR_PT_CLIENT_TRANSPORTS: "toString" });
  const lines = await process.until(/DONE/);
  assert.deepEqual([lines[0], lines.at(-1)], ["VERSION 1", "CMETHODS DONE"]);
  assert.equal(lines.filter((line) => line.startsWith("CMETHOD-ERROR")).length, 0);
});

/** A text in quotes as tor reads it (`unescape_string`); undefined if tor rejects the line. */
function asTorReads(quoted: string): string | undefined {
  const body = /^"((?:[^"\\]|\\.)*)"$/s.exec(quoted)?.[1];
  if (body === undefined) return undefined;
  const bytes: number[] = [];
  const special: Record<string, number> = { n: 10, r: 13, t: 9, '"': 34, "'": 39, "\\": 92 };
  for (let at = 0; at < body.length; at++) {
    let byte = body.charCodeAt(at);
    if (body[at] === "\\") {
      const octal = /^[0-7]{1,3}/.exec(body.slice(at + 1))?.[0];
      const hex = /^x([0-9a-fA-F]{2})/.exec(body.slice(at + 1))?.[1];
      byte = octal !== undefined
        ? parseInt(octal, 8)
        : hex !== undefined
        ? parseInt(hex, 16)
        : special[body[at + 1]!] ?? 0;
      at += octal?.length ?? (hex === undefined ? 1 : 3);
    }
    if (byte === 0 || byte > 255) return undefined;
    bytes.push(byte);
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

Deno.test("logs and statuses are plain ASCII that tor reads back, whatever is in them", async () => {
  await using process = await PtProcess.start({ ...CLIENT, TOR_PT_CLIENT_TRANSPORTS: "loud" });
  const lines = await process.until(/DONE/);
  for (const line of lines) assert.match(line, /^[\x20-\x7e]*$/);
  // What tor cannot take, a NUL, stands as U+FFFD.
  const meant = 'a "b" \\ c\nd\re\tf \u00e9\u20ac \u0001\u007f g\ufffdh';
  for (const [at, severity] of ["error", "warning", "notice", "info", "debug"].entries()) {
    const [, told, message] = /^LOG SEVERITY=(\w+) MESSAGE=(".*")$/.exec(lines[1 + at]!)!;
    assert.equal(told, severity);
    assert.equal(asTorReads(message!), meant);
  }
  const [, text] = /^STATUS TRANSPORT=loud ADDRESS="a=b" TEXT=(".*") EMPTY=""$/.exec(lines[6]!)!;
  assert.equal(asTorReads(text!), meant);
  assert.match(lines[7]!, /^CMETHOD loud socks5 /);
});

Deno.test("a client carries bytes with arguments, over IPv4 and IPv6, split as RFC 1929 splits them", async () => {
  const started = await client("rot");
  await using _process = started.process;
  for (const host of ["127.0.0.1", "::1", "localhost"]) {
    await using bridge = await serveTcp(echo, host === "localhost" ? "127.0.0.1" : host);
    for (const args of [undefined, "by=1", `pad=${"x".repeat(300)}=\\;;by=200`]) {
      using wire = await Wire.open(started.host, started.port);
      if (args === undefined) {
        assert.deepEqual(await wire.send([5, 1, 0]).read(2), [5, 0]);
      } else {
        assert.deepEqual(await wire.send([5, 2, 0, 2]).read(2), [5, 2]);
        assert.deepEqual(await wire.send(credentials(args)).read(2), [1, 0]);
      }
      assert.deepEqual(await wire.send(connectRequest(host, bridge.port)).read(10), reply(0));
      wire.send("there and back").socket.end();
      assert.deepEqual(await wire.all(), bytesOf("there and back"));
    }
  }
});

Deno.test("a client sees the target and the arguments as tor sent them", async () => {
  const started = await client("echo");
  await using _process = started.process;
  for (
    const [methods, sent, args] of [
      [[2], "cert=aGk=;iat-mode=0;cert=", [["cert", ["aGk=", ""]], ["iat-mode", ["0"]]]],
      [[0, 2], "a\\=b=c\\;d\\\\\\x", [["a=b", ["c;d\\x"]]]],
      [[1, 2, 0], "k=" + "v".repeat(508), [["k", ["v".repeat(508)]]]],
      [[2], "k=" + "v".repeat(253), [["k", ["v".repeat(253)]]]],
    ] as const
  ) {
    using wire = await Wire.open(started.host, started.port);
    // Everything at once, payload included: nothing may be lost between the stages.
    wire.send([5, methods.length, ...methods, ...credentials(sent)]);
    wire.send([...connectRequest("192.0.2.3", 80), ...bytesOf("early")]);
    assert.deepEqual(await wire.read(14), [5, 2, 1, 0, ...reply(0)]);
    const told = JSON.stringify({ target: { host: "192.0.2.3", port: 80 }, args });
    assert.equal(new TextDecoder().decode(Uint8Array.from(await wire.read(told.length))), told);
    assert.deepEqual(await wire.read(6), bytesOf("\nearly"));
  }
});

Deno.test("malformed arguments are refused by RFC 1929, and the log says why", async () => {
  const started = await client("echo");
  await using process = started.process;
  const bad = ["a", "a=b;", "=b", "a=\\", ";", "a=b;;c=d", "a=\0b", "a\\=b"];
  for (const args of bad) {
    using wire = await Wire.open(started.host, started.port);
    wire.send([5, 2, 0, 2]);
    assert.deepEqual(await wire.send(credentials(args)).all(), [5, 2, 1, 1], args);
    assert.match((await process.line())!, /^LOG SEVERITY=warning MESSAGE="a SOCKS request was/);
  }
  for (
    const [first, answer] of [
      [[1, 0, 1, 0], [1, 1]],
      [[2, 1, 65, 1, 0], [1, 1]],
      [[1, 1, 65, 0], [1, 1]],
    ] as const
  ) {
    using wire = await Wire.open(started.host, started.port);
    assert.deepEqual(await wire.send([5, 1, 2, ...first]).all(), [5, 2, ...answer]);
  }
});

Deno.test("SOCKS requests that are not CONNECT, or of no known kind, get their reply", async () => {
  const started = await client("echo");
  await using _process = started.process;
  for (
    const [request, answer] of [
      [[5, 1, 1], [5, 255]],
      [[5, 0], [5, 255]],
      [[4, 1, 0, 80], []],
      [[5, 1, 0, 5, 2, 0, 1], [5, 0, ...reply(7)]],
      [[5, 1, 0, 5, 3, 0, 1], [5, 0, ...reply(7)]],
      [[5, 1, 0, 5, 1, 0, 2], [5, 0, ...reply(8)]],
      [[5, 1, 0, 5, 1, 1, 1], [5, 0, ...reply(1)]],
      [[5, 1, 0, 4, 1, 0, 1], [5, 0, ...reply(1)]],
      [[5, 1, 0, 5, 1, 0, 3, 0], [5, 0, ...reply(1)]],
      [[5, 1, 0, 5, 1, 0, 3, 1, 10], [5, 0, ...reply(1)]],
    ] as const
  ) {
    using wire = await Wire.open(started.host, started.port);
    assert.deepEqual(await wire.send(request).all(), [...answer], `${request}`);
  }
});

Deno.test("tor is told why a transport did not connect", async () => {
  const fail = await client("fail");
  await using process = fail.process;
  for (const code of [1, 2, 3, 4, 5, 6, 7, 8, 0, 9]) {
    using wire = await Wire.open(fail.host, fail.port);
    wire.send([5, 1, 2, ...credentials(`code=${code}`), ...connectRequest("127.0.0.1", 1)]);
    const expected = code >= 1 && code <= 8 ? code : 1;
    assert.deepEqual(await wire.all(), [5, 2, 1, 0, ...reply(expected)]);
    assert.equal(
      await process.line(),
      'LOG SEVERITY=notice MESSAGE="failing for [scrubbed] and [scrubbed]"',
    );
    assert.equal(
      await process.line(),
      'LOG SEVERITY=info MESSAGE="a connection failed: it is meant to"',
    );
  }
});

Deno.test("a refused connection is reply 5, an unknown name 4, wrong arguments 1, silence 1", async () => {
  const rot = await client("rot");
  await using _process = rot.process;
  for (
    const [args, host, expected] of [
      ["by=1", "127.0.0.1", 5],
      ["by=1", "no-such-host.invalid", 4],
      ["by=x", "127.0.0.1", 1],
      ["by=1;by=2", "127.0.0.1", 1],
    ] as const
  ) {
    using wire = await Wire.open(rot.host, rot.port);
    wire.send([5, 1, 2, ...credentials(args), ...connectRequest(host, 1)]);
    assert.deepEqual(await wire.all(), [5, 2, 1, 0, ...reply(expected)], args);
  }
  const silent = await client("silent");
  await using _silent = silent.process;
  using wire = await Wire.open(silent.host, silent.port);
  wire.send([5, 1, 0, ...connectRequest("127.0.0.1", 1)]);
  assert.deepEqual(await wire.all(), [5, 0, ...reply(1)]);
});

Deno.test("addresses are logged only with unsafe logging", async () => {
  const fail = await client("fail", {}, "--unsafe-logging");
  await using process = fail.process;
  using wire = await Wire.open(fail.host, fail.port);
  wire.send([5, 1, 2, ...credentials("code=1"), ...connectRequest("127.0.0.1", 1)]);
  await wire.all();
  assert.equal(
    await process.line(),
    'LOG SEVERITY=notice MESSAGE="failing for 192.0.2.7:443 and [2001:db8::1]:9"',
  );
});

/** Plays each kind of proxy; what it was asked goes to `asked`. */
function proxyPlayer(kind: string, asked: string[]) {
  return async (wire: Wire) => {
    const text = (bytes: number[]) => String.fromCharCode(...bytes);
    let port = 0;
    if (kind === "http") {
      let head = "";
      while (!head.endsWith("\r\n\r\n")) head += text(await wire.read(1));
      asked.push(head.split("\r\n").filter((line) => line.startsWith("Proxy-")).join());
      port = Number(/:(\d+) HTTP/.exec(head)![1]);
      wire.send("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n");
    } else if (kind === "socks4a") {
      const [, , high, low, ...ip] = await wire.read(8);
      let user = "";
      for (let byte; (byte = text(await wire.read(1))) !== "\0";) user += byte;
      asked.push(`${user}@${ip.join(".")}`);
      port = high! << 8 | low!;
      wire.send([0, 90, 0, 0, 0, 0, 0, 0]);
    } else {
      const [, count] = await wire.read(2);
      const methods = await wire.read(count!);
      let user = "";
      if (methods.includes(2)) {
        wire.send([5, 2]);
        user = text(await wire.read((await wire.read(2))[1]!));
        user += `:${text(await wire.read((await wire.read(1))[0]!))}`;
        wire.send([1, 0]);
      } else wire.send([5, 0]);
      const [, , , type] = await wire.read(4);
      const address = await wire.read(type === 1 ? 4 : type === 4 ? 16 : (await wire.read(1))[0]!);
      const [high, low] = await wire.read(2);
      port = high! << 8 | low!;
      asked.push(`${user}@${type === 4 ? address.at(-1) : address.join(".")}`);
      wire.send([5, 0, 0, 3, 3, 65, 66, 67, 0, 1]);
    }
    const host = asked.at(-1)!.endsWith("@1") ? "::1" : "127.0.0.1";
    const onward = await Wire.open(host, port);
    const sent = await wire.all();
    onward.send(sent).socket.end();
    wire.send(await onward.all()).socket.end();
  };
}

Deno.test("a client goes through each kind of proxy, with credentials, to IPv4 and IPv6", async () => {
  for (
    const [kind, userinfo, bridgeHost, proxyHost, expected] of [
      ["http", "", "127.0.0.1", "127.0.0.1", ""],
      ["http", "u:p%40w@", "127.0.0.1", "::1", "Proxy-Authorization: Basic dTpwQHc="],
      ["socks4a", "", "127.0.0.1", "127.0.0.1", "@127.0.0.1"],
      ["socks4a", "joe@", "127.0.0.1", "127.0.0.1", "joe@127.0.0.1"],
      ["socks5", "", "127.0.0.1", "127.0.0.1", "@127.0.0.1"],
      ["socks5", "u:p@:w@", "::1", "::1", "u:p@:w@1"],
    ] as const
  ) {
    const asked: string[] = [];
    await using proxy = await serveTcp(proxyPlayer(kind, asked), proxyHost);
    await using bridge = await serveTcp(echo, bridgeHost);
    const at = proxyHost === "::1" ? "[::1]" : proxyHost;
    await using process = await PtProcess.start({
      ...CLIENT,
      TOR_PT_PROXY: `${kind}://${userinfo}${at}:${proxy.port}`,
    });
    assert.equal(await process.line(), "VERSION 1");
    assert.equal(await process.line(), "PROXY DONE");
    const { host, port } = await process.method();
    using wire = await Wire.open(host, port);
    wire.send([5, 1, 0, ...connectRequest(bridgeHost, bridge.port)]);
    assert.deepEqual(await wire.read(12), [5, 0, ...reply(0)]);
    wire.send("through").socket.end();
    assert.deepEqual(await wire.all(), bytesOf("through"), kind);
    assert.deepEqual(asked, [expected]);
  }
});

Deno.test("a proxy that refuses is told to tor", async () => {
  for (
    const [kind, answer, expected] of [
      ["http", "HTTP/1.1 403 Forbidden\r\n\r\n", 2],
      ["http", "HTTP/1.0 407 Auth\r\n\r\n", 1],
      ["http", "SSH-2.0-x\r\n\r\n", 1],
      ["socks4a", "\0[\0\0\0\0\0\0", 1],
      ["socks5", "\x05\0\x05\x05\0\x01\0\0\0\0\0\0", 5],
      ["socks5", "\x05\xff", 1],
    ] as const
  ) {
    await using proxy = await serveTcp((wire) => {
      wire.send([...answer].map((char) => char.charCodeAt(0))).socket.end();
    });
    const started = await client("rot", { TOR_PT_PROXY: `${kind}://127.0.0.1:${proxy.port}` });
    await using _process = started.process;
    using wire = await Wire.open(started.host, started.port);
    wire.send([5, 1, 0, ...connectRequest("127.0.0.1", 80)]);
    assert.deepEqual(await wire.all(), [5, 0, ...reply(expected)], answer);
  }
});

Deno.test("outbound bind addresses do not disturb connections to loopback", async () => {
  const started = await client("rot", {
    TOR_PT_OUTBOUND_BIND_ADDRESS_V4: "192.0.2.77",
    TOR_PT_OUTBOUND_BIND_ADDRESS_V6: "[2001:db8::77]",
  });
  await using _process = started.process;
  for (const host of ["127.0.0.1", "::1"]) {
    await using bridge = await serveTcp(echo, host);
    using wire = await Wire.open(started.host, started.port);
    wire.send([5, 1, 0, ...connectRequest(host, bridge.port)]);
    assert.deepEqual(await wire.read(12), [5, 0, ...reply(0)]);
  }
});

Deno.test("a client that tor leaves while it waits gives up", async () => {
  const started = await client("hang");
  await using process = started.process;
  const wire = await Wire.open(started.host, started.port);
  wire.send([5, 1, 0, ...connectRequest("127.0.0.1", 80)]);
  await wire.read(2);
  wire.socket.destroy();
  // With nothing left to serve, the first SIGINT ends it.
  process.kill("SIGINT");
  assert.equal((await process.rest()).code, 0);
});
