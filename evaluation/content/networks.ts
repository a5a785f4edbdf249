import { CLIENT, peerOf, SERVER, type Side } from "../../capture/side.ts";
import type { LinkProfile } from "../../lab/link_profile.ts";
import { type PathPacket, TcpPath } from "../../lab/tcp_path.ts";
import { type Clock, type TunnelStream, VirtualClock } from "../../playback/mod.ts";
import type { SimulatedTunnel } from "../simulation/simulated_tunnel.ts";
import type { Network, Pipe } from "./stage.ts";
import { FULL_HANDSHAKE, recordBytes } from "./tls_sizes.ts";

/** Who waits for how many bytes at each side. */
class Waiting {
  readonly #got: [number, number] = [0, 0];
  readonly #then: [Wanted[], Wanted[]] = [[], []];

  got(at: Side, total: number): void {
    this.#got[at] = total;
    const waiting = this.#then[at];
    // Who resumes may ask for more at once: that is behind those that wait.
    while (waiting.length > 0 && waiting[0]!.total <= this.#got[at]) waiting.shift()!.then();
  }

  received(at: Side, total: number, then: () => void): void {
    if (this.#got[at] >= total) then();
    else this.#then[at].push({ total, then });
  }

  forget(): void {
    this.#then[0] = [];
    this.#then[1] = [];
  }
}

interface Wanted {
  readonly total: number;
  readonly then: () => void;
}

/** Applications' own connections over a link, without any tunnel: TCP as the laboratory models it. */
export class BareNetwork implements Network {
  readonly clock: VirtualClock = new VirtualClock();
  /** What a recorder at the client's end sees. */
  readonly packets: PathPacket[] = [];
  readonly #path: TcpPath;
  readonly #waiting = new Map<number, Waiting>();
  #timer: number | undefined;
  #due = Infinity;
  #inside = false;

  /** A link. */
  constructor(link: LinkProfile) {
    this.#path = new TcpPath(link, {
      onPacket: (packet) => this.packets.push(packet),
      onAccept: () => {},
      onData: (connection, from, _, end) => this.#waiting.get(connection)?.got(peerOf(from), end),
      onEnd: (connection, from) => {
        if (from === CLIENT) this.#path.end(connection, SERVER);
      },
      onReset: () => {},
    });
  }

  /** Opens a TCP connection. */
  connect(): Pipe {
    let connection = 0;
    this.#input(() => connection = this.#path.open());
    const waiting = new Waiting();
    this.#waiting.set(connection, waiting);
    return {
      send: (from, bytes) => this.#input(() => this.#path.write(connection, from, bytes)),
      received: (at, total, then) => waiting.received(at, total, then),
      close: () => this.#input(() => this.#path.end(connection, CLIENT)),
      abort: () => {
        waiting.forget();
        this.#waiting.delete(connection);
      },
    };
  }

  #input(run: () => void): void {
    if (this.#inside) return run();
    this.#advance(run);
    this.#schedule();
  }

  #advance(then: () => void = () => {}): void {
    this.#inside = true;
    this.#path.advance(this.clock.now());
    then();
    this.#inside = false;
  }

  #schedule(): void {
    const due = this.#path.next;
    if (due === this.#due) return;
    if (this.#timer !== undefined) this.clock.cancel(this.#timer);
    this.#timer = undefined;
    this.#due = due;
    if (due === Infinity) return;
    this.#timer = this.clock.at(due, () => {
      this.#timer = undefined;
      this.#due = Infinity;
      this.#advance();
      this.#schedule();
    });
  }
}

const CHUNK = new Uint8Array(65_536);

/** A stream of a tunnel, and the way from the tm-server to where it leads. */
class TunnelPipe implements Pipe {
  readonly #waiting = new Waiting();
  readonly #ends: [TunnelStream | undefined, TunnelStream | undefined] = [undefined, undefined];
  readonly #unsent: [number, number] = [0, 0];
  #closing = false;
  #dead = false;

  constructor(readonly clock: Clock, readonly beyondMs: number, near: TunnelStream) {
    this.#attach(CLIENT, near);
  }

  /** The tm-server has heard of the stream: it dials, which takes a round trip. */
  reached(far: TunnelStream): void {
    this.#later(2 * this.beyondMs, () => {
      this.#attach(SERVER, far);
    });
  }

  send(from: Side, bytes: number): void {
    if (from === CLIENT) return this.#write(CLIENT, bytes);
    this.#later(this.beyondMs, () => this.#write(SERVER, bytes));
  }

  received(at: Side, total: number, then: () => void): void {
    this.#waiting.received(at, total, then);
  }

  close(): void {
    this.#closing = true;
    this.#write(CLIENT, 0);
  }

  abort(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#waiting.forget();
    for (const end of this.#ends) {
      if (end === undefined) continue;
      end.onReadable = end.onWritable = undefined;
      end.reset();
    }
  }

  #later(milliseconds: number, run: () => void): void {
    this.clock.at(this.clock.now() + milliseconds, () => {
      if (!this.#dead) run();
    });
  }

  #attach(side: Side, stream: TunnelStream): void {
    this.#ends[side] = stream;
    let total = 0;
    stream.onReadable = () => {
      let bytes = stream.read();
      const before = total;
      for (; bytes; bytes = stream.read()) total += bytes.length;
      if (bytes === null && side === SERVER) stream.end();
      const now = total;
      if (now === before) return;
      if (side === CLIENT) this.#waiting.got(CLIENT, now);
      else this.#later(this.beyondMs, () => this.#waiting.got(SERVER, now));
    };
    stream.onWritable = () => this.#write(side, 0);
    stream.onReadable();
    this.#write(side, 0);
  }

  #write(side: Side, bytes: number): void {
    this.#unsent[side] += bytes;
    const stream = this.#ends[side];
    if (stream === undefined || this.#dead) return;
    while (this.#unsent[side] > 0) {
      const taken = stream.write(CHUNK.subarray(0, Math.min(this.#unsent[side], CHUNK.length)));
      if (taken === 0) return;
      this.#unsent[side] -= taken;
    }
    if (side === CLIENT && this.#closing) stream.end();
  }
}

/** Applications' connections as streams of a tunnel. The client writes at once, as over an optimistic proxy. */
export class TunnelNetwork implements Network {
  readonly #pipes = new Map<number, TunnelPipe>();
  #port = 0;

  /** `beyondMs` is the time one way between the tm-server and where streams lead. */
  constructor(readonly tunnel: SimulatedTunnel, readonly beyondMs: number) {}

  /** The tunnel's time. */
  get clock(): Clock {
    return this.tunnel.clock;
  }

  /** Opens a stream. */
  connect(): Pipe {
    this.#port = this.#port % 65_535 + 1;
    const port = this.#port;
    const near = this.tunnel.open((far) => {
      const { port } = far.destination;
      this.#pipes.get(port)?.reached(far);
      this.#pipes.delete(port);
    }, port);
    const pipe = new TunnelPipe(this.clock, this.beyondMs, near);
    this.#pipes.set(port, pipe);
    return pipe;
  }
}

/** What a relay's client says before it hands on bytes: a password's digest, a command, an address, line ends. */
const RELAY_REQUEST = 86;

/**
 * Applications' connections through a plain relay over TLS, as many proxies do it: each in an outer connection of
 * its own, every write in records of the outer TLS, nothing padded, nothing delayed. Whatever shows there is what a
 * tunnel is there to hide.
 */
export class RelayNetwork implements Network {
  readonly #bare: BareNetwork;

  /** `beyondMs` is the time one way between the relay and where connections lead. */
  constructor(bare: BareNetwork, readonly beyondMs: number) {
    this.#bare = bare;
  }

  /** The link's time. */
  get clock(): VirtualClock {
    return this.#bare.clock;
  }

  /** Opens an outer connection. */
  connect(): Pipe {
    const { clock, beyondMs } = this;
    const outer = this.#bare.connect();
    const waiting = new Waiting();
    const { hello, flight, finished, tickets } = FULL_HANDSHAKE;
    // Bytes of the outer stream of each side, those of the inner one, and where the one is in the other.
    const written: [number, number] = [hello + finished, flight + tickets];
    const inner: [number, number] = [0, 0];
    const marks: [[number, number][], [number, number][]] = [[], []];
    let open = false;
    let first = true;
    let dead = false;
    const held: (() => void)[] = [];
    const later = (run: () => void) =>
      void clock.at(clock.now() + beyondMs, () => {
        if (!dead) run();
      });
    const watch = (at: Side) => {
      const next = marks[peerOf(at)][0];
      if (next === undefined) return;
      outer.received(at, next[0], () => {
        marks[peerOf(at)].shift();
        const total = next[1];
        if (at === CLIENT) waiting.got(CLIENT, total);
        else later(() => waiting.got(SERVER, total));
        watch(at);
      });
    };
    const put = (from: Side, bytes: number) => {
      const request = from === CLIENT && first ? RELAY_REQUEST : 0;
      if (from === CLIENT) first = false;
      const size = recordBytes(bytes + request);
      written[from] += size;
      inner[from] += bytes;
      marks[from].push([written[from], inner[from]]);
      outer.send(from, size);
      if (marks[from].length === 1) watch(peerOf(from));
    };
    outer.send(CLIENT, hello);
    outer.received(SERVER, hello, () => {
      outer.send(SERVER, flight);
      outer.received(CLIENT, flight, () => {
        outer.send(CLIENT, finished);
        open = true;
        held.splice(0).forEach((run) => run());
        outer.received(SERVER, hello + finished, () => {
          outer.send(SERVER, tickets);
          watch(SERVER);
        });
      });
    });
    return {
      send: (from, bytes) => {
        if (from === SERVER) later(() => put(SERVER, bytes));
        else if (open) put(CLIENT, bytes);
        else held.push(() => put(CLIENT, bytes));
      },
      received: (at, total, then) => waiting.received(at, total, then),
      close: () => outer.close(),
      abort: () => {
        dead = true;
        waiting.forget();
        outer.abort();
      },
    };
  }
}
