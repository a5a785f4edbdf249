import assert from "node:assert/strict";
import fc from "fast-check";
import {
  encodeClientArgs,
  encodeExtOrFrame,
  encodeServerArgs,
  formatIpv6,
  formatTarget,
  type Handshake,
  HandshakeDriver,
  ipBytes,
  isLoopback,
  oneLine,
  Opening,
  parseClientArgs,
  parseIpPort,
  parseProxyUrl,
  parseServerOptions,
  plainAddress,
  PtError,
  quote,
  scrubAddresses,
  socksRequest,
  statusLine,
  type TransportArgs,
} from "../../../transports/pt/mod.ts";
import { credentials } from "./harness.ts";

const word = fc.string({ maxLength: 20, unit: fc.constantFrom(..."ab\\=;,:.x\u00e9 ") });
const args: fc.Arbitrary<TransportArgs> = fc.array(
  fc.tuple(
    word.filter((key) => key !== ""),
    fc.array(word, { minLength: 1, maxLength: 3 }),
  ),
  { maxLength: 4 },
).map((pairs) => new Map(pairs));

/** Reads what is separated by `separator`, each character after a backslash standing for itself. */
function unescape(text: string, separator: string): [string, string][] {
  const pairs: [string, string][] = [];
  let parts = [""];
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === "\\") parts.push(parts.pop()! + text[++at]!);
    else if (char === "=" && parts.length === 1) parts.push("");
    else if (char === separator) {
      pairs.push([parts[0]!, parts[1]!]);
      parts = [""];
    } else parts.push(parts.pop()! + char);
  }
  pairs.push([parts[0]!, parts[1]!]);
  return pairs;
}

const flat = (args: TransportArgs) =>
  [...args].flatMap(([key, values]) => values.map((value) => [key, value] as [string, string]));

Deno.test("client arguments survive, as the specification writes them", () => {
  fc.assert(fc.property(args, (args) => {
    assert.deepEqual(parseClientArgs(encodeClientArgs(args)), args);
  }));
});

Deno.test("client arguments survive, as tor writes them: only ; and \\ escaped", () => {
  const key = fc.stringMatching(/^[a-z-]{1,9}$/);
  fc.assert(fc.property(fc.array(fc.tuple(key, word), { minLength: 1, maxLength: 5 }), (pairs) => {
    const text = pairs.map(([key, value]) => `${key}=${value}`.replaceAll(/[;\\]/g, "\\$&"));
    const read = flat(parseClientArgs(text.join(";")));
    const sort = (list: [string, string][]) =>
      Map.groupBy(list, ([key]) => key).entries().toArray().toString();
    assert.equal(sort(read), sort(pairs));
  }));
});

Deno.test("SMETHOD arguments survive, or are refused as a whole", () => {
  fc.assert(fc.property(args, (args) => {
    const all = flat(args).flat().join("");
    if (!/^[\x21-\x7e]*$/.test(all)) {
      assert.throws(() => encodeServerArgs(args), PtError);
    } else {
      const text = encodeServerArgs(args);
      assert.match(text, /^[\x21-\x7e]*$/);
      if (text !== "") assert.deepEqual(unescape(text, ","), flat(args));
    }
  }));
});

Deno.test("server options survive, as tor writes them: : ; and \\ escaped", () => {
  const name = fc.stringMatching(/^[a-z_]{1,9}$/);
  const option = fc.tuple(name, name, word);
  fc.assert(fc.property(fc.array(option, { minLength: 1, maxLength: 6 }), (options) => {
    const escape = (text: string) => text.replaceAll(/[:;\\]/g, "\\$&");
    const text = options.map(([name, key, value]) => `${name}:${escape(`${key}=${value}`)}`);
    const read = parseServerOptions(text.join(";"));
    for (const [name, key] of options) {
      assert.deepEqual(
        read.get(name)!.get(key),
        options.filter((other) => other[0] === name && other[1] === key).map(([, , v]) => v),
      );
    }
  }));
});

/** Control characters, lone surrogates and all. */
const anyText = fc.oneof(
  fc.array(fc.nat(0xffff)).map((codes) => String.fromCharCode(...codes)),
  fc.array(fc.nat(0x7f)).map((codes) => String.fromCharCode(...codes)),
);

/** Reads a quoted text as tor's unescape_string does. */
function torUnquote(text: string): string {
  assert.match(text, /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[nrt"'\\]|\\[0-3][0-7]{2})*"$/);
  const bytes: number[] = [];
  for (const [, plain, letter, octal] of text.slice(1, -1).matchAll(/([^\\])|\\(\D)|\\(\d{3})/g)) {
    if (octal !== undefined) bytes.push(parseInt(octal, 8));
    else {
      const named = { n: "\n", r: "\r", t: "\t" }[letter ?? ""];
      bytes.push((named ?? letter ?? plain)!.charCodeAt(0));
    }
  }
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

Deno.test("any text of a log survives tor's reader, on one line of ASCII", () => {
  fc.assert(fc.property(anyText, (text) => {
    const sent = new TextDecoder().decode(new TextEncoder().encode(text));
    assert.equal(torUnquote(quote(text)), sent.replaceAll("\0", "\ufffd"));
  }));
});

Deno.test("status and error lines are one line of ASCII, whatever they say", () => {
  fc.assert(fc.property(anyText, (text) => {
    assert.match(oneLine(text), /^[\x20-\x7e]*$/);
    assert.match(statusLine({ A: text }), /^STATUS A=[\x20-\x7e]*$/);
  }));
  assert.throws(() => statusLine({ "a b": "" }), PtError);
});

Deno.test("IP addresses survive, in every form", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65535), (host, port) => {
    const bytes = ipBytes(host)!;
    if (bytes.length === 16) assert.deepEqual(ipBytes(formatIpv6(bytes)), bytes);
    const plain = plainAddress(host);
    assert.equal(plainAddress(plain), plain);
    const at = { host: plain, port };
    assert.deepEqual(parseIpPort(formatTarget(at), { zero: true }), at);
    assert.equal(scrubAddresses(`to ${formatTarget(at)}, now`), "to [scrubbed], now");
  }));
  for (
    const [host, expected] of [
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["fe80::1%eth0", "fe80::1"],
      ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["::", "::"],
    ]
  ) assert.equal(plainAddress(host!), expected);
  assert.ok(isLoopback("::ffff:127.9.9.9") && !isLoopback("128.0.0.1") && isLoopback("::1"));
  assert.equal(
    scrubAddresses("face:1.2.3.4: no; to 1:2:3:4:5:6:7:8:443. fe80::1%eth0: [::1]"),
    "face:[scrubbed]: no; to [scrubbed]. [scrubbed]: [scrubbed]",
  );
  assert.equal(scrubAddresses("at 12:30:45 v1.2.3 in a::b"), "at 12:30:45 v1.2.3 in [scrubbed]");
});

Deno.test("proxies survive with any credentials that they can have", () => {
  const credential = fc.string({ minLength: 1, maxLength: 60 });
  fc.assert(fc.property(credential, credential, fc.boolean(), (user, password, raw) => {
    // Tor writes them as they are; a user with a colon cannot be told then, nor can escapes.
    fc.pre(!raw || !/:|%/.test(user + password));
    const write = raw ? (text: string) => text : encodeURIComponent;
    const url = `socks5://${write(user)}:${write(password)}@[::1]:1080`;
    assert.deepEqual(parseProxyUrl(url), {
      scheme: "socks5",
      address: { host: "::1", port: 1080 },
      user,
      password,
    });
  }));
});

function drive<T>(handshake: Handshake<T>, pieces: Uint8Array[]) {
  const driver = new HandshakeDriver(handshake);
  const sent: number[] = [];
  const steps = [() => driver.start(), ...pieces.map((piece) => () => driver.push(piece))];
  let rest: number[] | undefined;
  let value: T | undefined;
  for (const [at, step] of steps.entries()) {
    const { send, done, error } = step();
    sent.push(...send.flatMap((bytes) => [...bytes]));
    if (error !== undefined) return { sent, error: (error as Error).message };
    if (done !== undefined) {
      rest = [...done.rest, ...pieces.slice(at).flatMap((piece) => [...piece])];
      value = done.value;
      break;
    }
  }
  return { sent, value, rest };
}

Deno.test("a SOCKS request reads the same however it is cut, and leaves the rest", () => {
  const host = fc.oneof(fc.ipV4(), fc.domain(), fc.ipV6().map((host) => plainAddress(host)));
  const cuts = fc.array(fc.nat(700), { maxLength: 12 });
  fc.assert(fc.property(host, fc.nat(65535), args, fc.uint8Array(), cuts, (...given) => {
    const [host, port, args, payload, cuts] = given;
    const text = encodeClientArgs(args);
    const length = new TextEncoder().encode(text).length;
    fc.pre(length > 0 && length <= 510);
    const ip = ipBytes(host);
    const bytes = Uint8Array.from([
      ...[5, 2, 0, 2, ...credentials(text), 5, 1, 0],
      ...(ip === undefined
        ? [3, host.length, ...new TextEncoder().encode(host)]
        : [ip.length === 4 ? 1 : 4, ...ip]),
      ...[port >> 8, port & 255, ...payload],
    ]);
    const places = [...new Set([0, ...cuts.filter((cut) => cut < bytes.length), bytes.length])]
      .sort((a, b) => a - b);
    const pieces = places.slice(1).map((end, at) => bytes.subarray(places[at]!, end));
    assert.deepEqual(drive(socksRequest(), pieces), {
      sent: [5, 2, 1, 0],
      value: { target: { host, port }, args },
      rest: [...payload],
    });
  }));
});

Deno.test("frames of the Extended ORPort hold no NUL and no more than 65535 bytes", () => {
  assert.deepEqual([...encodeExtOrFrame(0x1234, "ab")], [0x12, 0x34, 0, 2, 97, 98]);
  assert.equal(encodeExtOrFrame(1, "x".repeat(65535)).length, 65539);
  assert.throws(() => encodeExtOrFrame(1, "x".repeat(65536)), PtError);
  assert.throws(() => encodeExtOrFrame(1, "\0"), PtError);
});

Deno.test("lines out of order throw, and nothing is written", () => {
  const lines: string[] = [];
  const opening = Opening.start((line) => lines.push(line));
  opening.log("debug", "before all");
  const answer = opening.clientWithProxy();
  assert.throws(() => opening.environmentError("too late"), /out of order/);
  assert.throws(() => opening.server(), /out of order/);
  const methods = answer.done();
  assert.throws(() => answer.error("too late"), /out of order/);
  assert.throws(() => methods.method("rot", "127.0.0.1:0"), /port/);
  assert.throws(() => methods.method("rot", "localhost:1"), /IP address/);
  assert.throws(() => methods.method("r t", "127.0.0.1:1"), /cannot name/);
  const running = methods.done();
  assert.throws(() => methods.method("rot", "127.0.0.1:1"), /out of order/);
  assert.throws(() => methods.done(), /out of order/);
  running.status({ TRANSPORT: "rot", CONNECT: "Success" });
  assert.deepEqual(lines, [
    'LOG SEVERITY=debug MESSAGE="before all"',
    "VERSION 1",
    "PROXY DONE",
    "CMETHODS DONE",
    "STATUS TRANSPORT=rot CONNECT=Success",
  ]);
  const failed: string[] = [];
  const other = Opening.start((line) => failed.push(line));
  other.environmentError("a\nb");
  assert.throws(() => other.versionError(), /out of order/);
  other.log("error", "still legal");
  assert.equal(failed[0], "ENV-ERROR a b");
});
