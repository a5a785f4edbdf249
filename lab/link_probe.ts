/**
 * A small program for both ends of a link, with no right but to use the network: `serve` answers, and
 * `probe` measures round trips and then what gets through in each direction, as one line of JSON.
 *
 * @module
 */

/** What `probe` prints. */
export interface LinkProbe {
  /** Round trips of one small segment, in milliseconds. */
  readonly roundTrip: {
    /** Smallest. */
    readonly min: number;
    /** Half are below. */
    readonly median: number;
    /** Nine in ten are below. */
    readonly p90: number;
    /** Largest. */
    readonly max: number;
    /** How many. */
    readonly count: number;
  };
  /** Megabits of TCP payload a second from the client to the server. */
  readonly upMbit: number;
  /** Megabits of TCP payload a second from the server to the client. */
  readonly downMbit: number;
}

const ROUND_TRIPS = 100;
const ECHO = 1;
const SINK = 2;
const SOURCE = 3;

async function count(conn: Deno.Conn, warmUp: number): Promise<number> {
  const buffer = new Uint8Array(65536);
  const start = performance.now();
  let bytes = 0;
  let from = start;
  let last = start;
  for (let read = await conn.read(buffer); read !== null; read = await conn.read(buffer)) {
    last = performance.now();
    if (last - start < warmUp) from = last;
    else bytes += read;
  }
  return bytes * 8 / 1000 / (last - from);
}

async function pour(conn: Deno.Conn, milliseconds: number): Promise<void> {
  const block = new Uint8Array(16384);
  const end = performance.now() + milliseconds;
  while (performance.now() < end) await conn.write(block);
}

async function answer(conn: Deno.TcpConn): Promise<void> {
  using _closed = conn;
  conn.setNoDelay();
  const head = new Uint8Array(3);
  if (await conn.read(head) !== 3) return;
  const milliseconds = new DataView(head.buffer).getUint16(1);
  if (head[0] === ECHO) {
    const byte = new Uint8Array(1);
    while (await conn.read(byte) !== null) await conn.write(byte);
  } else if (head[0] === SOURCE) await pour(conn, milliseconds);
  else await conn.write(new TextEncoder().encode(String(await count(conn, milliseconds / 4))));
}

async function open(address: Deno.ConnectOptions, kind: number, milliseconds: number) {
  const conn = await Deno.connect(address);
  conn.setNoDelay();
  await conn.write(new Uint8Array([kind, milliseconds >> 8, milliseconds & 255]));
  return conn;
}

async function probe(address: Deno.ConnectOptions, milliseconds: number): Promise<LinkProbe> {
  const times: number[] = [];
  const echo = await open(address, ECHO, 0);
  const byte = new Uint8Array(1);
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const start = performance.now();
    await echo.write(byte);
    await echo.read(byte);
    times.push(performance.now() - start);
  }
  echo.close();
  times.sort((a, b) => a - b);
  const at = (share: number) =>
    times[Math.min(times.length - 1, Math.floor(share * times.length))]!;
  using down = await open(address, SOURCE, milliseconds);
  const downMbit = await count(down, milliseconds / 4);
  using up = await open(address, SINK, milliseconds);
  await pour(up, milliseconds);
  await up.closeWrite();
  const upMbit = Number(await new Response(up.readable).text());
  const roundTrip = {
    min: at(0),
    median: at(0.5),
    p90: at(0.9),
    max: at(1),
    count: times.length,
  };
  return { roundTrip, upMbit, downMbit };
}

if (import.meta.main) {
  const [mode, hostname, port, milliseconds] = Deno.args;
  const address = { hostname: hostname!, port: Number(port) };
  if (mode === "serve") {
    for await (const conn of Deno.listen(address)) answer(conn).catch(() => {});
  } else {
    const line = JSON.stringify(await probe(address, Number(milliseconds)));
    Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
  }
}
