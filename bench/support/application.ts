// The application at both ends of a transport, each in a process of its own. Arguments: `serve`, which prints its
// port; or `drive` and a JSON object (Drive), which prints one (Driven).
//
// The protocol: `D` and eight bytes ask for so many bytes; `U` and eight bytes announce so many, which one byte
// answers; `E` asks for an echo of all that follows.

/** What to measure. */
export interface Drive {
  /** Where the application's server is, as the transport is asked for it. */
  readonly to: { readonly host: string; readonly port: number };
  /** The transport's SOCKS port on loopback; none if absent: `to` is connected to. */
  readonly socks?: number;
  /** The transport's arguments, as tor hands them over. */
  readonly args?: string;
  /** What. */
  readonly test: "down" | "up" | "echo";
  /** Bytes of all connections together, or echoes. */
  readonly amount: number;
  /** Connections at once. */
  readonly connections: number;
  /** Milliseconds at most. */
  readonly cap: number;
}

/** What was found. */
export interface Driven {
  /** Bytes that were carried, or echoes. */
  readonly amount: number;
  /** Milliseconds that it took. */
  readonly ms: number;
  /** Round trips of the echoes, in milliseconds. */
  readonly echoes: number[];
}

const CHUNK = 262_144;

async function readExactly(connection: Deno.Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await connection.read(bytes.subarray(at));
    if (count === null) throw new Error("the connection ended early");
    at += count;
  }
  return bytes;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function sendBytes(connection: Deno.Conn, amount: number): Promise<void> {
  const chunk = new Uint8Array(CHUNK).fill(0x5a);
  for (let left = amount; left > 0; left -= CHUNK) {
    await writeAll(connection, left < CHUNK ? chunk.subarray(0, left) : chunk);
  }
}

async function takeBytes(connection: Deno.Conn, amount: number): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  for (let left = amount; left > 0;) {
    const count = await connection.read(buffer);
    if (count === null) throw new Error("the connection ended early");
    left -= count;
  }
}

async function answer(connection: Deno.Conn): Promise<void> {
  const [what] = await readExactly(connection, 1);
  if (what === 0x45) {
    const buffer = new Uint8Array(CHUNK);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) return;
      await writeAll(connection, buffer.subarray(0, count));
    }
  }
  const amount = Number(new DataView((await readExactly(connection, 8)).buffer).getBigUint64(0));
  if (what === 0x44) await sendBytes(connection, amount);
  else {
    await takeBytes(connection, amount);
    await writeAll(connection, new Uint8Array(1));
  }
}

async function serve(print: (line: string) => void): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  print(String((listener.addr as Deno.NetAddr).port));
  for await (const connection of listener) {
    connection.setNoDelay(true);
    answer(connection).catch(() => {}).finally(() => connection.close());
  }
}

async function open({ to, socks, args }: Drive): Promise<Deno.Conn> {
  const target = socks === undefined
    ? { hostname: to.host, port: to.port }
    : { hostname: "127.0.0.1", port: socks };
  const connection = await Deno.connect(target);
  connection.setNoDelay(true);
  if (socks === undefined) return connection;
  await writeAll(connection, Uint8Array.of(5, 1, args === undefined ? 0 : 2));
  await readExactly(connection, 2);
  if (args !== undefined) {
    const text = new TextEncoder().encode(args);
    const [name, word] = [text.subarray(0, 255), text.subarray(255)];
    const password = word.length > 0 ? word : Uint8Array.of(0);
    await writeAll(
      connection,
      Uint8Array.of(1, name.length, ...name, password.length, ...password),
    );
    if ((await readExactly(connection, 2))[1] !== 0) throw new Error("arguments refused");
  }
  const address = to.host.split(".").map(Number);
  await writeAll(connection, Uint8Array.of(5, 1, 0, 1, ...address, to.port >> 8, to.port & 255));
  const reply = await readExactly(connection, 10);
  if (reply[1] !== 0) throw new Error(`SOCKS reply ${reply[1]}`);
  return connection;
}

function ask(what: string, amount: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = what.charCodeAt(0);
  new DataView(bytes.buffer).setBigUint64(1, BigInt(amount));
  return bytes;
}

async function drive(job: Drive): Promise<Driven> {
  const { amount, cap, connections, test } = job;
  const opened = await Promise.all(Array.from({ length: connections }, () => open(job)));
  const deadline = setTimeout(() => Deno.exit(3), cap);
  const echoes: number[] = [];
  const began = performance.now();
  if (test === "echo") {
    const [connection] = opened as [Deno.Conn];
    await writeAll(connection, Uint8Array.of(0x45));
    for (let i = 0; i < amount; i++) {
      const sent = performance.now();
      await writeAll(connection, Uint8Array.of(i & 255));
      await readExactly(connection, 1);
      echoes.push(performance.now() - sent);
    }
  } else {
    const each = Math.floor(amount / connections);
    await Promise.all(opened.map(async (connection) => {
      await writeAll(connection, ask(test === "down" ? "D" : "U", each));
      if (test === "down") return await takeBytes(connection, each);
      await sendBytes(connection, each);
      await readExactly(connection, 1);
    }));
  }
  const ms = performance.now() - began;
  clearTimeout(deadline);
  for (const connection of opened) connection.close();
  return { amount, ms, echoes };
}

if (import.meta.main) {
  const encoder = new TextEncoder();
  const print = (line: string) => Deno.stdout.writeSync(encoder.encode(`${line}\n`));
  const [role, job] = Deno.args;
  if (role === "serve") await serve(print);
  else print(JSON.stringify(await drive(JSON.parse(job!) as Drive)));
}
