import assert from "node:assert/strict";
import net from "node:net";
import fc from "fast-check";
import { makeIdentity } from "../../transports/carriers/mod.ts";
import type { Address } from "../../transports/doors/address.ts";
import { copyBothWays } from "../../transports/doors/copy.ts";
import type { OpenStream } from "../../transports/doors/door.ts";
import { listenHttp } from "../../transports/doors/http_door.ts";
import { absoluteTarget, connectTarget, endToEnd } from "../../transports/doors/http_target.ts";
import { TurnBudget } from "../../transports/doors/turn_budget.ts";
import { PairedStream } from "./helpers.ts";
import { curl, HAS_CURL } from "./processes.ts";
import { noise, webServer } from "./world.ts";

const HAS_GIT = await new Deno.Command("git", { args: ["--version"], stdout: "null" })
  .output().then(({ success }) => success, () => false);

const LOOPBACK = { host: "127.0.0.1", port: 0 };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Streams that lead to real sockets without a tunnel, to `everywhere` if given. */
function direct(everywhere?: Address): { open: OpenStream; asked: string[] } {
  const asked: string[] = [];
  const budget = new TurnBudget();
  return {
    asked,
    open: (destination) => {
      asked.push(`${destination.host}:${destination.port}`);
      const [near, far] = PairedStream.pair(destination, 5000);
      const code = { "refused.test": 5, "late.test": 6, "private.test": 2, "lost.test": 32 }[
        destination.host
      ];
      if (code !== undefined) {
        queueMicrotask(() => far.refuse(code));
        return near;
      }
      const { host, port } = everywhere ?? destination;
      const socket = net.connect({ host, port, allowHalfOpen: true });
      socket.pause();
      socket.once("connect", () => {
        far.accept();
        void copyBothWays(socket, far, budget);
      });
      socket.once("error", () => far.refuse(5));
      return near;
    },
  };
}

/** A server that answers each connection's bytes by a script, and keeps what it saw. */
async function scripted(answer: (seen: string) => string | undefined) {
  const seen: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const at = seen.push("") - 1;
    let done = false;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      seen[at] += bytes.toString("latin1");
      if (done) return;
      const say = answer(seen[at]!);
      if (say === undefined) return;
      done = true;
      socket.end(say, "latin1");
    });
    socket.on("end", () => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    seen,
    address: { host: "127.0.0.1", port: (server.address() as net.AddressInfo).port },
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Sends `chunks`, ends its side unless told not to, and returns all that comes back. */
function say(port: number, chunks: readonly (string | Uint8Array)[], end = true): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true });
    let back = "";
    socket.on("data", (bytes) => back += bytes.toString("latin1"));
    socket.on("end", () => socket.destroy());
    socket.on("error", (error: { code?: string }) => {
      if (error.code === "ECONNRESET" || error.code === "EPIPE") back += "<reset>";
      else reject(error);
    });
    socket.on("close", () => resolve(back));
    void (async () => {
      for (const chunk of chunks) {
        if (socket.destroyed) return;
        await new Promise<void>((written) => socket.write(chunk, () => setTimeout(written, 0)));
      }
      if (end) socket.end();
    })();
  });
}

const withoutDate = (answer: string) => answer.replace(/Date: [^\r]*\r\n/g, "");
const status = (answer: string) => Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1]);
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
const whole = (seen: string) => seen.includes("\r\n\r\n") ? OK : undefined;

Deno.test("http: targets are read, and nothing else is taken for one", () => {
  const target = (uri: string, method = "GET") => {
    const found = absoluteTarget(method, uri);
    return found && `${found.origin.host} ${found.origin.port} ${found.host} ${found.path}`;
  };
  assert.equal(
    target("http://example.org/a//../b?c=%20"),
    "example.org 80 example.org /a//../b?c=%20",
  );
  assert.equal(target("HTTP://example.org:8080"), "example.org 8080 example.org:8080 /");
  assert.equal(target("http://example.org?q"), "example.org 80 example.org /?q");
  assert.equal(target("http://[2001:db8::1]/"), "2001:db8::1 80 [2001:db8::1] /");
  assert.equal(target("http://example.org", "OPTIONS"), "example.org 80 example.org *");
  for (
    const uri of [
      "/path",
      "*",
      "https://example.org/",
      "ftp://example.org/",
      "http://",
      "http:///path",
      "http://user:secret@example.org/",
      "http://example.org:0/",
      "http://example.org:99999/",
      "http://a b/",
      "http://2001:db8::1/",
      "http://example.org/#part",
      "http://example.org/\u00e4",
    ]
  ) assert.equal(target(uri), undefined, uri);
  assert.deepEqual(connectTarget("example.org:443"), { host: "example.org", port: 443 });
  assert.deepEqual(connectTarget("[::1]:22"), { host: "::1", port: 22 });
  for (
    const wrong of ["example.org", "example.org:0", "http://example.org:80", ":80", "80", "a:b:1"]
  ) {
    assert.equal(connectTarget(wrong), undefined, wrong);
  }
});

Deno.test("http: the fields of this hop go, those that Connection names too", () => {
  assert.deepEqual(
    endToEnd([
      ...["Accept", "*/*", "Connection", "keep-alive, X-Mine,content-length", "X-MINE", "1"],
      ...[
        "Proxy-Connection",
        "close",
        "Proxy-Authorization",
        "x",
        "TE",
        "trailers",
        "Upgrade",
        "h2c",
      ],
      ...["Content-Length", "3", "Set-Cookie", "a", "Set-Cookie", "b", "Keep-Alive", "timeout=5"],
    ]),
    ["Accept", "*/*", "Content-Length", "3", "Set-Cookie", "a", "Set-Cookie", "b"],
  );
});

Deno.test("http: a request in absolute form arrives in origin form, however it was cut", async () => {
  const origin = await scripted((seen) => seen.endsWith("0\r\n\r\n") ? OK : undefined);
  const { open, asked } = direct(origin.address);
  const door = await listenHttp(LOOPBACK, open, new TurnBudget());
  const request = [
    "POST http://example.org:8080/a?b HTTP/1.1\r\nHost: elsewhere\r\nX-A: 1\r\nx-a: 2\r\n",
    "Proxy-Connection: keep-alive\r\nConnection: close, X-B\r\nX-B: 3\r\nTE: trailers\r\n",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n4;ext=1\r\nwvut\r\n0\r\nTrailer: x\r\n\r\n",
  ].join("");
  const head = [
    "POST /a?b HTTP/1.1\r\nHost: example.org:8080\r\nX-A: 1\r\nx-a: 2\r\n",
    "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
  ].join("");
  const expected = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
  const cuts = fc.array(fc.integer({ min: 1, max: request.length - 1 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(cuts, fc.boolean(), async (places, end) => {
      origin.seen.length = asked.length = 0;
      const sorted = [...new Set([0, ...places, request.length])].sort((a, b) => a - b);
      const chunks = sorted.slice(1).map((to, i) => request.slice(sorted[i], to));
      assert.equal(withoutDate(await say(door.port, chunks, end)), expected);
      assert.deepEqual(asked, ["example.org:8080"]);
      assert.ok(origin.seen[0]!.startsWith(head), origin.seen[0]);
      const body = origin.seen[0]!.slice(head.length);
      assert.equal(body.replace(/[0-9a-f]+\r\n|\r\n/g, ""), "xyzwvut");
    }),
    { numRuns: 60 },
  );
  await door.close();
  await origin.close();
});

Deno.test("http: CONNECT is a pipe both ways, however it was cut, with a half close", async () => {
  const origin = await scripted((seen) => seen.endsWith("END") ? `<${seen}>` : undefined);
  const { open, asked } = direct(origin.address);
  const door = await listenHttp(LOOPBACK, open, new TurnBudget());
  const request = "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n\0\r\nGET END";
  const cuts = fc.array(fc.integer({ min: 1, max: request.length - 1 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(cuts, fc.boolean(), async (places, end) => {
      asked.length = 0;
      const sorted = [...new Set([0, ...places, request.length])].sort((a, b) => a - b);
      const chunks = sorted.slice(1).map((to, i) => request.slice(sorted[i], to));
      const answer = await say(door.port, chunks, end);
      assert.equal(answer, "HTTP/1.1 200 Connection established\r\n\r\n<\0\r\nGET END>");
      assert.deepEqual(asked, ["example.org:443"]);
    }),
    { numRuns: 60 },
  );
  await door.close();
  await origin.close();
});

Deno.test("http: what cannot be passed on is answered with its status", async () => {
  const origin = await scripted(whole);
  const { open, asked } = direct(origin.address);
  const door = await listenHttp(LOOPBACK, open, new TurnBudget());
  const host = "Host: h\r\n";
  const cases: [string, number][] = [
    ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400],
    [`GET https://example.org/ HTTP/1.1\r\n${host}\r\n`, 400],
    [`GET http://u:p@example.org/ HTTP/1.1\r\n${host}\r\n`, 400],
    ["GET http://example.org/ HTTP/1.1\r\n\r\n", 400],
    [`GET http://example.org/ HTTP/1.1\r\n${host}Bad Name: x\r\n\r\n`, 400],
    [`GET http://example.org/ HTTP/1.1\r\n${host}Name : x\r\n\r\n`, 400],
    [`GET http://example.org/ HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`, 400],
    [`GET http://example.org/ HTTP/1.1\nHost: h\n\n`, 400],
    [
      `POST http://example.org/ HTTP/1.1\r\n${host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
      400,
    ],
    [`POST http://example.org/ HTTP/1.1\r\n${host}Content-Length: +3\r\n\r\nabc`, 400],
    [
      `POST http://example.org/ HTTP/1.1\r\n${host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [`POST http://example.org/ HTTP/1.1\r\n${host}Transfer-Encoding: chunked, gzip\r\n\r\n`, 400],
    [
      `POST http://example.org/ HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      501,
    ],
    [`TRACE http://example.org/ HTTP/1.1\r\n${host}\r\n`, 405],
    [`FROBNICATE http://example.org/ HTTP/1.1\r\n${host}\r\n`, 400],
    [`GET http://example.org/ HTTP/1.1\r\n${host}X: ${"x".repeat(40_000)}\r\n\r\n`, 431],
    [`GET http://example.org/${"x".repeat(40_000)} HTTP/1.1\r\n${host}\r\n`, 431],
    [`CONNECT example.org HTTP/1.1\r\n${host}\r\n`, 400],
    [`CONNECT http://example.org:80/ HTTP/1.1\r\n${host}\r\n`, 400],
    ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
    ["SSH-2.0-OpenSSH_9.2\r\n", 400],
  ];
  for (const [request, code] of cases) {
    const answer = await say(door.port, [request]);
    assert.equal(status(answer), code, `${JSON.stringify(request.slice(0, 100))}: ${answer}`);
    assert.match(answer, /\r\nConnection: close\r\n/);
  }
  assert.deepEqual(asked, []);
  for (const [name, code] of [["refused", 502], ["late", 504], ["private", 403], ["lost", 502]]) {
    const get = await say(door.port, [`GET http://${name}.test/ HTTP/1.1\r\n${host}\r\n`]);
    assert.equal(status(get), code, get);
    const connect = await say(door.port, [`CONNECT ${name}.test:443 HTTP/1.1\r\n${host}\r\n`]);
    assert.equal(status(connect), code, connect);
  }
  await door.close();
  await origin.close();
});

Deno.test("http: requests in a row on one connection, each to its own origin; junk after them", async () => {
  const origin = await scripted(whole);
  const { open, asked } = direct(origin.address);
  const door = await listenHttp(LOOPBACK, open, new TurnBudget());
  const get = (name: string) => `GET http://${name}.test/ HTTP/1.1\r\nHost: h\r\n\r\n`;
  const three = await say(door.port, [get("a") + get("b") + get("c")]);
  assert.equal(three.match(/HTTP\/1.1 200 OK\r\n/g)?.length, 3);
  assert.equal(three.match(/hello/g)?.length, 3);
  assert.deepEqual(asked, ["a.test:80", "b.test:80", "c.test:80"]);
  // A body is exactly as long as it says: what follows is a request of its own.
  asked.length = 0;
  origin.seen.length = 0;
  const post = "POST http://a.test/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  const two = await say(door.port, [post + get("b")]);
  assert.equal(two.match(/HTTP\/1.1 200 OK\r\n/g)?.length, 2);
  assert.ok(
    !origin.seen[0]!.includes("b.test"),
    "the first origin sees nothing of the second request",
  );
  for (const chunks of [[`${get("a")}junk\r\n\r\n`], [get("a"), "junk\r\n", "\r\n"]]) {
    const answer = await say(door.port, chunks, false);
    assert.match(answer, /^HTTP\/1.1 200 OK[^]*hello(HTTP\/1.1 400 Bad Request[^]*)?$/);
  }
  // A CONNECT that does not wait for the answer before it is not served; afterwards it is.
  asked.length = 0;
  const connect = "CONNECT b.test:1 HTTP/1.1\r\nHost: h\r\n\r\nGET x\r\n\r\n";
  assert.match(await say(door.port, [get("a") + connect]), /^HTTP\/1.1 200 OK[^]*hello$/);
  assert.deepEqual(asked, ["a.test:80"]);
  await door.close();
  await origin.close();
});

Deno.test("http: answers pass whole: interim, close-delimited, HEAD; torn ones are torn here", async () => {
  let answer = "";
  const origin = await scripted((seen) => seen.includes("\r\n\r\n") ? answer : undefined);
  const { open } = direct(origin.address);
  const door = await listenHttp(LOOPBACK, open, new TurnBudget());
  const ask = async (method: string, reply: string, version = "1.1", more = "") => {
    answer = reply;
    const head =
      `${method} http://a.test/ HTTP/${version}\r\nHost: h\r\nConnection: close\r\n${more}\r\n`;
    return withoutDate(await say(door.port, [head], false));
  };
  const cookies = "HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n";
  assert.equal(
    await ask("GET", `HTTP/1.1 103 Early\r\n\r\n${cookies}Content-Length: 2\r\n\r\nok`),
    `${cookies}Content-Length: 2\r\nConnection: close\r\n\r\nok`,
  );
  assert.match(await ask("GET", "HTTP/1.0 200 OK\r\n\r\nto the end"), /to the end\r\n0\r\n\r\n$/);
  assert.match(await ask("GET", "HTTP/1.0 200 OK\r\n\r\nto the end", "1.0"), /\r\n\r\nto the end$/);
  assert.match(
    await ask("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"),
    /Content-Length: 77\r\nConnection: close\r\n\r\n$/,
  );
  assert.match(
    await ask("GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
    /^HTTP\/1.1 304 Not/,
  );
  for (
    const torn of [
      "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ]
  ) {
    assert.match(await ask("GET", torn), /<reset>$/);
    assert.match(await ask("GET", torn, "1.0"), /<reset>$/);
  }
  for (
    const rubbish of [
      "rubbish\r\n\r\n",
      "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(40_000)}\r\n\r\n`,
      "",
    ]
  ) {
    const back = await ask("GET", rubbish);
    assert.equal(status(back), 502, back);
  }
  const expect = "Expect: 100-continue\r\nContent-Length: 3\r\n";
  assert.equal(
    status(await ask("POST", "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", "1.1", expect)),
    417,
  );
  assert.match(
    await ask(
      "POST",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      "1.1",
      expect,
    ),
    /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200/,
  );
  await door.close();
  await origin.close();
});

Deno.test("http: a connection without a complete request is not kept for ever", async () => {
  const origin = await scripted(whole);
  const { open } = direct(origin.address);
  const door = await listenHttp(LOOPBACK, open, new TurnBudget(), 30);
  const get = "GET http://a.test/ HTTP/1.1\r\nHost: h\r\n\r\n";
  assert.equal(status(await say(door.port, [], false)), 408);
  assert.equal(status(await say(door.port, [get.slice(0, 30)], false)), 408);
  // After an answer it is closed without a word.
  assert.match(await say(door.port, [get], false), /^HTTP\/1.1 200 OK[^]*hello$/);
  await door.close();
  await origin.close();
});

Deno.test("http: bytes of any kind end in answers or a close, and the door lives on", async () => {
  const origin = await scripted(whole);
  const { open } = direct(origin.address);
  const door = await listenHttp(LOOPBACK, open, new TurnBudget());
  const get = "GET http://a.test/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.constantFrom(
      ...[
        "GET ",
        "http://a.test/",
        " HTTP/1.1\r\n",
        "\r\n",
        "Host: h\r\n",
        "0\r\n\r\n",
        "fffffffffff\r\n",
      ],
      ...[
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\n",
        "CONNECT a.test:1 HTTP/1.1\r\n",
      ],
      ...["Connection: close\r\n", "Expect: 100-continue\r\n", "POST http://a.test/ HTTP/1.1\r\n"],
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 10 }), async (pieces) => {
      const back = await say(door.port, pieces);
      assert.match(back, /^(HTTP\/1.1 \d\d\d [^]*|<reset>|)$/);
    }),
    { numRuns: 300 },
  );
  assert.match(await say(door.port, [get]), /hello$/);
  await door.close();
  await origin.close();
});

Deno.test({
  name: "http: curl by both ways, large bodies both ways",
  ignore: !HAS_CURL,
  fn: async () => {
    const blob = noise(2_000_000);
    const web = webServer("127.0.0.1", blob);
    const { open } = direct();
    const door = await listenHttp(LOOPBACK, open, new TurnBudget());
    const folder = await Deno.makeTempDir();
    await Deno.writeFile(`${folder}/blob`, blob);
    const base = `http://127.0.0.1:${web.addr.port}`;
    for (const how of [[], ["--proxytunnel"], ["--http1.0"]]) {
      const proxy = ["--proxy", `http://127.0.0.1:${door.port}`, ...how];
      const down = await curl(...proxy, `${base}/blob`, `${base}/blob`);
      assert.equal(down.code, 0, down.error);
      assert.deepEqual(down.body, new Uint8Array([...blob, ...blob]));
      const up = await curl(...proxy, "--data-binary", `@${folder}/blob`, `${base}/echo`);
      assert.equal(up.code, 0, up.error);
      assert.deepEqual(up.body, new Uint8Array(blob));
    }
    const missing = await curl("--proxy", `http://127.0.0.1:${door.port}`, `${base}/missing`);
    assert.equal(text(missing.body), "nothing here");
    await door.close();
    await web.shutdown();
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "http: git clones over http:// and https:// through the door",
  ignore: !HAS_CURL || !HAS_GIT,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const env = {
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_CONFIG_NOSYSTEM: "1",
      no_proxy: "",
      NO_PROXY: "",
    };
    const git = async (...args: string[]) => {
      const { success, stderr } = await new Deno.Command("git", { args, env }).output();
      assert.ok(success, `git ${args.join(" ")}: ${text(stderr)}`);
    };
    const [work, bare] = [`${folder}/work`, `${folder}/bare.git`];
    const blob = noise(200_000);
    await git("init", "--quiet", work);
    await Deno.writeFile(`${work}/blob`, blob);
    await git("-C", work, "add", "blob");
    const who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    await git("-C", work, ...who, "commit", "--quiet", "--no-gpg-sign", "-m", "one");
    await git("clone", "--quiet", "--bare", work, bare);
    await git("-C", bare, "update-server-info");
    const files = async (request: Request) => {
      const path = new URL(request.url).pathname;
      if (!/^\/bare\.git\/[\w./-]+$/.test(path) || path.includes("..")) {
        return new Response(null, { status: 404 });
      }
      return await Deno.readFile(folder + path).then(
        (bytes) => new Response(bytes),
        () => new Response(null, { status: 404 }),
      );
    };
    const where = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
    const identity = await makeIdentity("git.test");
    const plain = Deno.serve(where, files);
    const secure = Deno.serve({ ...where, cert: identity.certificate, key: identity.key }, files);
    const { open, asked } = direct();
    const door = await listenHttp(LOOPBACK, open, new TurnBudget());
    for (const [scheme, { addr: { port } }] of [["http", plain], ["https", secure]] as const) {
      const proxy = [
        "-c",
        `http.proxy=http://127.0.0.1:${door.port}`,
        "-c",
        "http.sslVerify=false",
      ];
      const copy = `${folder}/${scheme}`;
      await git(...proxy, "clone", "--quiet", `${scheme}://127.0.0.1:${port}/bare.git`, copy);
      assert.deepEqual(await Deno.readFile(`${copy}/blob`), new Uint8Array(blob));
      assert.ok(asked.includes(`127.0.0.1:${port}`));
    }
    await door.close();
    await Promise.all([plain.shutdown(), secure.shutdown()]);
    await Deno.remove(folder, { recursive: true });
  },
});
