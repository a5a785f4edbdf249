import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { Random } from "../../models/random.ts";
import { OpenSslSocket } from "../../transports/carriers/openssl_socket.ts";
import {
  CLOSED,
  NOTHING,
  OpenSslError,
  type TlsContext,
  TlsSession,
} from "../../transports/carriers/openssl_tls.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Flights of a connection: hello, answer, end of the handshake, tickets and data, data, data, closing of both. */
export const FLIGHTS = 8;
/** More than any end may have to say by itself, in bytes. */
const MOST_SAID = 16_384;

const join = (parts: readonly Uint8Array[]): Bytes => {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

/** A flight's records; what is none comes last. */
function recordsOf(bytes: Bytes): Bytes[] {
  const records: Bytes[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 5 + (bytes[at + 3] ?? 0) * 256 + (bytes[at + 4] ?? 0);
    records.push(bytes.slice(at, at + length));
    at += length;
  }
  return records;
}

function record(type: number, body: Uint8Array): Bytes {
  return join([new Uint8Array([type, 3, 3, body.length >> 8, body.length & 255]), body]);
}

/** One of the ends, and what it has done. */
interface End {
  readonly session: TlsSession;
  readonly sent: Bytes[];
  readonly got: Bytes[];
  over: boolean;
  failed: boolean;
}

/** What OpenSslSocket needs of a socket, without a system below. */
class Wire extends EventEmitter {
  readonly written: Uint8Array[] = [];
  destroyed = false;
  peerEnded = false;
  #ended = false;

  get writable(): boolean {
    return !this.destroyed && !this.#ended;
  }

  write(bytes: Uint8Array, sent?: () => void): void {
    if (this.writable) this.written.push(bytes.slice());
    if (sent !== undefined) queueMicrotask(sent);
  }

  end(bytes?: Uint8Array): void {
    if (bytes !== undefined) this.write(bytes);
    this.#ended = true;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    queueMicrotask(() => this.emit("close"));
  }

  peerEnds(): void {
    if (this.destroyed || this.peerEnded) return;
    this.peerEnded = true;
    // As a stream tells it: never within what it tells.
    queueMicrotask(() => {
      if (!this.destroyed) this.emit("end");
    });
  }

  peerResets(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    queueMicrotask(() => {
      this.emit("error", new Error("reset"));
      this.emit("close");
    });
  }

  pause(): void {}
  resume(): void {}
}

/** Makes connections in memory, and damages what their ends say to each other. */
export class Fuzzer {
  readonly #random: Random;
  readonly #client: TlsContext;
  readonly #server: TlsContext;
  readonly #room = new Uint8Array(16_384);
  /** Flights of other connections. */
  readonly #kept: Bytes[] = [];
  /** Connections whose damage was found, by the flight that was damaged first. */
  readonly found = new Uint32Array(FLIGHTS);
  /** Connections in which no end gave up: as if nothing had been damaged, or it waits for more. */
  readonly whole = new Uint32Array(FLIGHTS + 1);

  /** Everything that is drawn comes from `random`. */
  constructor(random: Random, client: TlsContext, server: TlsContext) {
    this.#random = random;
    this.#client = client;
    this.#server = server;
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#random.integer(values.length)]!;
  }

  #bytes(length: number): Bytes {
    return Uint8Array.from({ length }, () => this.#random.integer(256));
  }

  /** A record that nobody expects, or in a place where nobody does. */
  #foreign(): Bytes {
    switch (this.#random.integer(9)) {
      case 0: // a warning, an error, nonsense
        return record(21, new Uint8Array([this.#random.integer(3), this.#random.integer(256)]));
      case 1:
        return record(20, new Uint8Array([this.#random.integer(3)]));
      case 2: // empty, of any type
        return record(20 + this.#random.integer(6), new Uint8Array());
      case 3: // longer than any may be
        return record(this.#pick([22, 23]), this.#bytes(16_384 + this.#random.integer(512)));
      case 4: // a handshake message of any type and length, unprotected
        return record(
          22,
          join([
            new Uint8Array([this.#random.integer(25), 0, 0, this.#random.integer(256)]),
            this.#bytes(this.#random.integer(256)),
          ]),
        );
      case 5: // one that never ends
        return record(22, new Uint8Array([1, 255, 255, 255, 3, 3]));
      case 6: // SSL 2
        return join([new Uint8Array([0x80, 0x2e, 1, 0, 2]), this.#bytes(43)]);
      case 7: // many that say nothing
        return join(Array.from({ length: 40 }, () => record(23, new Uint8Array())));
      default:
        return this.#kept.length === 0 ? this.#bytes(100) : this.#pick(this.#kept);
    }
  }

  /** Changes a flight in one way. */
  #damage(bytes: Bytes): Bytes {
    const changed = bytes.slice();
    const records = recordsOf(bytes);
    const at = this.#random.integer(Math.max(1, bytes.length));
    const which = this.#random.integer(Math.max(1, records.length));
    const place = this.#random.integer(records.length + 1);
    switch (this.#random.integer(14)) {
      case 0:
        if (bytes.length > 0) changed[at]! ^= 1 << this.#random.integer(8);
        return changed;
      case 1:
        for (let i = this.#random.integer(8); i >= 0; i--) {
          if (bytes.length > 0) {
            changed[this.#random.integer(bytes.length)] = this.#random.integer(256);
          }
        }
        return changed;
      case 2: // lengths, which are in the beginning mostly
        if (bytes.length > 0) {
          changed[this.#random.integer(Math.min(80, bytes.length))] = this.#pick([0, 1, 127, 255]);
        }
        return changed;
      case 3:
        return bytes.slice(0, at);
      case 4:
        return bytes.slice(at);
      case 5:
        return join([bytes, bytes]);
      case 6:
        return join([
          bytes.slice(0, at),
          this.#bytes(1 + this.#random.integer(40)),
          bytes.slice(at),
        ]);
      case 7: {
        const end = Math.min(bytes.length, at + 1 + this.#random.integer(40));
        return join([bytes.slice(0, at), bytes.slice(end)]);
      }
      case 8:
        return join(records.toSpliced(place, 0, this.#foreign()));
      case 9:
        return join(records.toSpliced(which, 1));
      case 10:
        return join(records.toSpliced(place, 0, records[which] ?? new Uint8Array()));
      case 11:
        return join(records.toReversed());
      case 12: { // one record's bytes in two records
        const whole = records[which] ?? new Uint8Array(5);
        const cut = 5 + this.#random.integer(Math.max(1, whole.length - 5));
        const halves = [whole.slice(5, cut), whole.slice(cut)];
        return join(records.toSpliced(which, 1, ...halves.map((half) => record(whole[0]!, half))));
      }
      default: { // a record's header
        const whole = records[which];
        if (whole !== undefined && whole.length >= 5) {
          whole[this.#random.integer(5)] = this.#random.integer(256);
        }
        return join(records);
      }
    }
  }

  /** Runs what may be refused, but in no other way. */
  #dare<T>(end: End, run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      assert.ok(error instanceof OpenSslError, String(error));
      assert.ok(error.message.length > 0 && error.message.length < 256);
      end.failed = true;
      return undefined;
    }
  }

  /** Gives bytes to an end, in pieces, and lets it do what it can. */
  #deliver(end: End, bytes: Bytes): void {
    let pieces = this.#random.integer(4);
    for (let at = 0; at < bytes.length;) {
      const length = pieces-- > 0 ? 1 + this.#random.integer(bytes.length - at) : bytes.length - at;
      end.session.feed(bytes.slice(at, at + length));
      at += length;
      this.#dare(end, () => {
        this.#goOn(end);
        if (!end.over) return;
        for (let turns = 0;; turns++) {
          assert.ok(turns < 20_000, "it always has something");
          const count = end.session.read(this.#room);
          if (count === CLOSED) return;
          if (count === NOTHING) {
            if (!end.session.waiting) return;
          } else end.got.push(this.#room.slice(0, count));
        }
      });
    }
  }

  /** Goes on with the handshake: whose is over can be written to. */
  #goOn(end: End): void {
    if (end.over) return;
    end.over = end.session.handshake();
    if (!end.over) return;
    assert.ok(end.session.isTls13);
    assert.equal(end.session.peerCertificate === undefined, end.session.isServer);
    const payload = this.#bytes(5);
    assert.doesNotThrow(() => end.session.write(payload));
    end.sent.push(payload);
  }

  #say(end: End, flight: number): Bytes {
    this.#dare(end, () => {
      this.#goOn(end);
      if (!end.over || flight < 3) return;
      if (flight < FLIGHTS - 2) {
        for (let count = this.#random.integer(3); count >= 0; count--) {
          const payload = this.#bytes(1 + this.#random.integer(60));
          end.session.write(payload);
          end.sent.push(payload);
        }
      } else end.session.shutdown();
    });
    const bytes = end.session.take() ?? new Uint8Array();
    assert.ok(bytes.length < MOST_SAID, `${bytes.length} bytes`);
    return bytes;
  }

  /**
   * One connection, of which a flight (and sometimes a later one) is damaged: a hello in every other one, since
   * it costs least.
   *
   * @throws {assert.AssertionError} if anything but a refusal comes of it, or bytes that nobody sent.
   */
  round(): void {
    const ends = [this.#client, this.#server].map((context): End => ({
      session: new TlsSession(context, {
        ...(this.#random.integer(2) === 0 ? {} : { alpn: ["h2", "http/1.1"] }),
        ...(this.#random.integer(2) === 0 ? {} : { serverName: "name.example" }),
      }),
      sent: [],
      got: [],
      over: false,
      failed: false,
    }));
    let next = this.#random.integer(2) === 0 ? 0 : this.#random.integer(FLIGHTS + 1);
    const first = next;
    try {
      for (let flight = 0; flight < FLIGHTS; flight++) {
        const [from, to] = [ends[flight % 2]!, ends[(flight + 1) % 2]!];
        let bytes = this.#say(from, flight);
        if (this.#random.integer(100) === 0) this.#keep(bytes);
        if (flight === next) {
          for (let times = this.#random.integer(3); times >= 0; times--) {
            bytes = this.#damage(bytes);
          }
          if (this.#random.integer(4) === 0) next += 1 + this.#random.integer(3);
        }
        this.#deliver(to, bytes);
        // Who has given up hears nothing any more.
        if (to.failed) break;
      }
      const failed = ends.some((end) => end.failed);
      if (failed) this.found[first]!++;
      else this.whole[first]!++;
      assert.ok(first < FLIGHTS || !failed, "nothing was damaged");
      this.#compare(ends[0]!, ends[1]!);
      this.#compare(ends[1]!, ends[0]!);
      this.#disturb(ends);
    } finally {
      for (const end of ends) end.session.free();
    }
  }

  /**
   * The same with sockets of ours at both ends, whose listeners do what they like at any time.
   *
   * @throws {assert.AssertionError} if an end tells anything twice, or after its end, or keeps its session.
   */
  async sockets(): Promise<void> {
    const raws = [new Wire(), new Wire()];
    const sessions = [new TlsSession(this.#client), new TlsSession(this.#server)];
    const told = [new Set<string>(), new Set<string>()];
    const act = (socket: OpenSslSocket) => {
      switch (this.#random.integer(40)) {
        case 0:
          return socket.destroy();
        case 1:
          return socket.end();
        case 2:
          return socket.leave();
        case 3:
          return socket.pause();
        case 4:
          return socket.resume();
        case 5:
          return raws[this.#random.integer(2)]!.destroy();
        case 6:
          return raws[this.#random.integer(2)]!.peerResets();
        case 7:
          return raws[this.#random.integer(2)]!.peerEnds();
        default:
          return socket.write(this.#bytes(1 + this.#random.integer(30)), () => {});
      }
    };
    const sockets = raws.map((raw, i) => {
      const mine = told[i]!;
      const secure = () => {
        assert.ok(!mine.has("secure"));
        mine.add("secure");
        act(socket);
      };
      const keeps = this.#random.integer(2) === 0;
      const socket = new OpenSslSocket(raw as unknown as Socket, sessions[i]!, secure, keeps);
      socket.on("data", ({ length }: Uint8Array) => {
        assert.ok(length > 0 && mine.has("secure"));
        for (const end of ["close", "error", "end"]) assert.ok(!mine.has(end), `data after ${end}`);
        act(socket);
      });
      for (const event of ["end", "error", "close"]) {
        socket.on(event, () => {
          assert.ok(!mine.has(event) && !mine.has("close"), `${event} after ${[...mine]}`);
          mine.add(event);
          act(socket);
        });
      }
      return socket;
    });
    const damaged = this.#random.integer(12);
    for (let flight = 0; flight < 12; flight++) {
      await Promise.resolve();
      const [from, to] = [raws[flight % 2]!, raws[(flight + 1) % 2]!];
      if (flight > 3) act(sockets[flight % 2]!);
      let bytes = join(from.written.splice(0));
      if (flight === damaged) bytes = this.#damage(bytes);
      for (const piece of this.#random.integer(2) === 0 ? [bytes] : recordsOf(bytes)) {
        if (piece.length > 0 && !to.destroyed && !to.peerEnded) to.emit("data", piece.slice());
      }
    }
    for (const raw of raws) raw.destroy();
    // Closing is told in a turn of its own.
    for (let turns = 0; turns < 3; turns++) await Promise.resolve();
    assert.ok(sessions.every((session) => session.freed));
    assert.ok(told.every((mine) => mine.has("close")));
  }

  #keep(bytes: Bytes): void {
    if (this.#kept.length < 32) this.#kept.push(bytes);
    else this.#kept[this.#random.integer(32)] = bytes;
  }

  /** Whatever was damaged: what one end got is what the other one sent, or the beginning of it. */
  #compare(from: End, to: End): void {
    const [sent, got] = [join(from.sent), join(to.got)];
    assert.ok(got.length <= sent.length);
    assert.deepEqual(got, sent.slice(0, got.length));
  }

  /** All calls in any order, of sessions that may have failed. */
  #disturb(ends: readonly End[]): void {
    for (let calls = this.#random.integer(6); calls > 0; calls--) {
      const end = this.#pick(ends);
      const { session } = end;
      this.#dare(end, () => {
        switch (this.#random.integer(8)) {
          case 0:
            return session.write(this.#bytes(10));
          case 1:
            return session.shutdown();
          case 2:
            return void session.read(this.#room);
          case 3:
            return void session.handshake();
          case 4:
            return session.feed(this.#bytes(30));
          case 5:
            return void session.peerCertificate;
          case 6:
            return session.free();
          default:
            return void session.take();
        }
      });
    }
  }
}
