// An upstream proxy as Tor knows them, told by the first byte: SOCKS 5 that asks for a user (alice) and a password
// (secret), HTTP CONNECT that asks for the same, SOCKS 4a. Argument: the port. A line on standard input resets every connection that it carries, and tells how many
// those were; at the end of standard input it ends.
import net from "node:net";

const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
const carried = new Set<net.Socket>();

/** Takes exactly as many bytes as a step of the dialogue needs, from what has come. */
function dialogue(socket: net.Socket, steps: Generator<number, void, Uint8Array>): void {
  let held = new Uint8Array(0);
  let want = steps.next();
  const onData = (bytes: Uint8Array) => {
    const joined = new Uint8Array(held.length + bytes.length);
    joined.set(held);
    joined.set(bytes, held.length);
    held = joined;
    while (!want.done && held.length >= (want.value as number)) {
      const taken = held.slice(0, want.value as number);
      held = held.slice(want.value as number);
      want = steps.next(taken);
    }
    if (want.done) socket.removeListener("data", onData);
  };
  socket.on("data", onData);
}

function* serve(socket: net.Socket): Generator<number, void, Uint8Array> {
  const [kind] = yield 1;
  if (kind === 5) yield* serveSocks5(socket);
  else if (kind === 4) yield* serveSocks4(socket);
  else yield* serveHttp(socket);
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function* serveSocks5(socket: net.Socket): Generator<number, void, Uint8Array> {
  const answer = (...bytes: number[]) => socket.write(new Uint8Array(bytes));
  const methods = yield (yield 1)[0]!;
  if (!methods.includes(2)) return void socket.end(new Uint8Array([5, 255]));
  answer(5, 2);
  const user = text(yield (yield 2)[1]!);
  const password = text(yield (yield 1)[0]!);
  if (user !== "alice" || password !== "secret") return void socket.end(new Uint8Array([1, 1]));
  answer(1, 0);
  const request = yield 4;
  if (request[3] !== 1) return void socket.end(new Uint8Array([5, 8, 0, 1, 0, 0, 0, 0, 0, 0]));
  const host = (yield 4).join(".");
  const port = yield 2;
  carry(socket, "SOCKS 5", host, port[0]! << 8 | port[1]!, [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
}

function* serveSocks4(socket: net.Socket): Generator<number, void, Uint8Array> {
  const [, high, low] = yield 3;
  const address = yield 4;
  while ((yield 1)[0] !== 0);
  let host = address.join(".");
  if (/^0\.0\.0\.[1-9]/.test(host)) {
    host = "";
    for (let byte; (byte = (yield 1)[0]!) !== 0;) host += String.fromCharCode(byte);
  }
  carry(socket, "SOCKS 4a", host, high! << 8 | low!, [0, 90, 0, 0, 0, 0, 0, 0]);
}

function* serveHttp(socket: net.Socket): Generator<number, void, Uint8Array> {
  let head = "C";
  while (!head.endsWith("\r\n\r\n")) head += text(yield 1);
  const target = /^CONNECT ([\d.]+):(\d+) HTTP\/1\.[01]\r\n/.exec(head);
  const known = head.includes(`\r\nProxy-Authorization: Basic ${btoa("alice:secret")}\r\n`);
  if (target === null || !known) return void socket.end("HTTP/1.1 407 Who?\r\n\r\n");
  const granted = [...new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n")];
  carry(socket, "CONNECT", target[1]!, Number(target[2]), granted);
}

function carry(socket: net.Socket, kind: string, host: string, port: number, granted: number[]) {
  const far = net.connect({ host, port, noDelay: true });
  far.once("connect", () => {
    socket.write(new Uint8Array(granted));
    for (const one of [socket, far]) carried.add(one);
    socket.pipe(far);
    far.pipe(socket);
    say(`carrying by ${kind}`);
  });
  for (const [one, other] of [[socket, far], [far, socket]] as const) {
    one.once("close", () => {
      carried.delete(one);
      other.destroy();
    });
  }
  far.on("error", () => {});
}

net.createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {});
  dialogue(socket, serve(socket));
}).listen(Number(Deno.args[0]), "127.0.0.1", () => say("listening"));

for await (const _ of Deno.stdin.readable) {
  const cut = [...carried];
  for (const socket of cut) socket.resetAndDestroy();
  say(`cut ${cut.length / 2}`);
}
Deno.exit(0);
