import type { End } from "../models/cover_model.ts";
import type { Clock, Timer } from "./clock.ts";
import type { CloseReason, CoverConnection, CoverListener } from "./cover_connection.ts";
import type { TunnelPort } from "./reliable_tunnel.ts";
import type { Script, ScriptMessage } from "./script.ts";
import type { Farewell } from "./shared_ends.ts";
import { wireSize } from "./size_grid.ts";
import type { EngineStats } from "./stats.ts";
import type { WireEvent } from "./wire_log.ts";

/** How one played connection ended. */
export interface PlayReport {
  /** Everything planned was sent and received, and the connection closed as planned. */
  readonly completed: boolean;
  /** The tunnel may wait for the last acknowledgement: completed, and closed by FIN both ways. */
  readonly clean: boolean;
  /** It was given up because the peer or the network stood still. */
  readonly stalled: boolean;
  /** Payload bytes that arrived. */
  readonly received: number;
  /** What went wrong, if the peer broke a rule. */
  readonly error?: unknown;
}

/** What a {@linkcode ConnectionPlayer} needs. */
export interface PlayerOptions {
  /** The time. */
  readonly clock: Clock;
  /** The open connection; the player becomes its listener. */
  readonly connection: CoverConnection;
  /** Which end of the script this is. */
  readonly end: End;
  /** The connection's session, for the log. */
  readonly session: number;
  /** The connection's serial number in its session, for the log. */
  readonly serial: number;
  /** The connection's number in the tunnel. */
  readonly number: number;
  /** What to play; it may grow (then call {@linkcode ConnectionPlayer.advance}). */
  readonly script: Script;
  /** Fills the records and takes what arrives. */
  readonly tunnel: TunnelPort;
  /** Bytes that go first in this end's stream: the proof. */
  readonly prefix?: Uint8Array;
  /** How many bytes at the head of the peer's stream are its proof and not the tunnel's; 0 if absent. */
  readonly peerPrefix?: number;
  /** Judges the peer's proof, all of it at once; false ends the connection. */
  readonly onPeerPrefix?: (proof: Uint8Array) => boolean;
  /**
   * Encrypts all that this end's tunnel sends, in order (same length; after the prefix), so that it may go
   * before the peer has proved itself: only who could also prove that can read it.
   */
  readonly seal?: (bytes: Uint8Array) => Uint8Array;
  /** Decrypts all that the peer's tunnel sends, in order: the other side of `seal`. */
  readonly unseal?: (bytes: Uint8Array) => Uint8Array;
  /** Told once of the first two bytes that the peer's tunnel sends, before the tunnel takes them. */
  readonly onHead?: (head: Uint8Array) => void;
  /** Called when it begins, before anything is due: the last moment for a script that is known without a word. */
  readonly onStart?: () => void;
  /** Whether user data may be sent from the start; else after {@linkcode ConnectionPlayer.allowData}. */
  readonly dataAllowed: boolean;
  /** Milliseconds without any progress after which the connection is given up; asked for again. */
  readonly stall: () => number;
  /** Says when this end closes, if the script leaves it to this end, in place of the script. */
  readonly farewell?: Farewell;
  /** Counts. */
  readonly stats: EngineStats;
  /** Called before a record is filled, with the bytes that the tunnel will fill. */
  readonly beforeRecord?: (room: number) => void;
  /** Told of each thing done on the wire. */
  readonly onWire?: (event: WireEvent) => void;
  /** Called when this end has begun to close as planned, and waits for the peer to. */
  readonly onClosing?: () => void;
  /** Called once, after the tunnel has been told that the connection is gone. */
  readonly onDone: (report: PlayReport) => void;
}

/** Bytes that may wait in the connection before the next record of a message is filled. */
const LOW_WATER = 65536;

/** A message later than this moves what follows it; smaller lateness does not add up. */
const FORGIVEN = 20;

/** Milliseconds beyond its own time to close that a connection waits for those that it is to close with. */
const FAREWELL_PATIENCE = 30_000;

/** Bytes that a connection without a shape writes at once. */
const FREE_WRITE = 65536;

/** Milliseconds that acknowledgements wait for data to travel with, on a connection without a shape. */
const ACK_DELAY = 5;

/** A connection without a shape is given up after so many stall deadlines without a byte of the peer's. */
const SILENT_STALLS = 3;

let scratch = new Uint8Array(16384);

/**
 * Plays one end of one cover connection: sends each of its own messages when the script says, counts what
 * the peer sends, and closes as planned. It knows nothing of masters and slaves.
 *
 * A message is due its `time` after its trigger: the later of this end's message before it and the arrival
 * of the peer's bytes that the script puts before it, both as the wire shows them. The trigger after an own message
 * is the time for which that was planned, so that a late timer does not shift the rest. When a message is due, the tunnel fills
 * each of its records at that moment, and each record is one write; a long message waits for the connection
 * to drain, so that its user data too is taken late. Nothing here looks at what the tunnel holds, which is
 * what makes the wire independent of user data.
 *
 * A peer that sends too much, closes early or stands still ends the connection uncleanly; nothing throws.
 */
export class ConnectionPlayer implements CoverListener {
  readonly #options: PlayerOptions;
  readonly #own: End;
  readonly #peer: End;
  readonly #prefix: Uint8Array;
  #prefixSent = 0;
  readonly #peerPrefix: Uint8Array;
  #peerPrefixTaken = 0;
  readonly #head = new Uint8Array(2);
  #headTaken = 0;
  #dataAllowed: boolean;
  #started = false;
  #done = false;
  /** Index in the script of the first message that is not this end's, or not sent. */
  #next = 0;
  #timer: Timer | undefined;
  #stallTimer: Timer | undefined;
  /** When the message before was planned, or sent if that was much later. */
  #trigger = 0;
  /** The peer, or the plan, is awaited: the trigger is the moment it comes. */
  #waited = false;
  #sending: ScriptMessage | undefined;
  #sendingRecord = 0;
  /** Inside a write: a carrier that drains at once must not begin the next record. */
  #writing = false;
  #due = 0;
  /** No record of the message being sent has left. */
  #beginning = false;
  #closing: "fin" | "rst" | undefined;
  #finSent = false;
  #received = 0;
  #progress = 0;
  /** While bytes are taken in: when they came. */
  #arrived: number | undefined;
  /** For how many milliseconds they may have waited before that. */
  #arrivedDoubt = 0;
  /** By how many milliseconds the trigger may have been sooner: stated, and never made use of. */
  #doubt = 0;
  #queuedBefore = 0;
  #peerBefore = 0;
  #advancing = false;
  /** Whether all that was planned is through and what there is flows: {@linkcode Script.free}. */
  #free = false;
  #flowing = false;
  #freeBuffer = scratch;
  #ackTimer: Timer | undefined;
  #silentStalls = 0;

  /** Prepares a player; {@linkcode ConnectionPlayer.start} begins. */
  constructor(options: PlayerOptions) {
    this.#options = options;
    this.#own = options.end;
    this.#peer = options.end === "client" ? "server" : "client";
    this.#prefix = options.prefix ?? new Uint8Array(0);
    this.#peerPrefix = new Uint8Array(options.peerPrefix ?? 0);
    this.#dataAllowed = options.dataAllowed;
  }

  /** Payload bytes that arrived. */
  get received(): number {
    return this.#received;
  }

  /** Whether the connection has ended. */
  get done(): boolean {
    return this.#done;
  }

  /**
   * Begins: now is the end of the carrier's handshake. `head` are payload bytes that were read before the
   * player took over.
   */
  start(head?: Uint8Array): void {
    const { clock, connection, number, tunnel } = this.#options;
    this.#started = true;
    this.#progress = clock.now();
    this.#trigger = this.#progress - (connection.age ?? connection.reaction ?? 0);
    this.#doubt = connection.doubt ?? 0;
    try {
      tunnel.connectionOpened(number);
    } catch (error) {
      // A peer may name a connection that has been.
      return this.abort("rst", error);
    }
    this.#options.onStart?.();
    if (this.#done) return;
    this.#armStall();
    if (head !== undefined && head.length > 0) this.onData(head);
    if (this.#done) return;
    connection.listener = this;
    // What is due at once is not to wait for a turn of its own.
    this.#advance(true);
  }

  /** The owner has verified the peer: user data may be sent from now on. */
  allowData(): void {
    this.#dataAllowed = true;
  }

  /** Ends the connection at once and uncleanly. */
  abort(how: "fin" | "rst" = "rst", error?: unknown): void {
    this.#finish({ how, completed: false, error });
  }

  /** Takes what arrived; called by the connection. */
  onData(bytes: Uint8Array, kept = 0, doubt = 0): void {
    if (this.#done) return;
    const { clock, stats } = this.#options;
    this.#received += bytes.length;
    stats.received += bytes.length;
    this.#progress = clock.now();
    this.#arrived = this.#progress - kept;
    this.#arrivedDoubt = doubt;
    this.#take(bytes);
    if (!this.#done) this.#advance(true);
    this.#arrived = undefined;
  }

  #take(bytes: Uint8Array): void {
    const { number, onPeerPrefix, tunnel, unseal } = this.#options;
    let rest = bytes;
    const missing = this.#peerPrefix.length - this.#peerPrefixTaken;
    if (missing > 0) {
      const head = rest.subarray(0, missing);
      this.#peerPrefix.set(head, this.#peerPrefixTaken);
      this.#peerPrefixTaken += head.length;
      if (head.length < missing) return;
      if (onPeerPrefix !== undefined) {
        if (!onPeerPrefix(this.#peerPrefix)) {
          return this.abort("fin", new Error("the peer's proof is wrong"));
        }
        this.allowData();
      }
      if (this.#done) return;
      rest = rest.subarray(head.length);
    }
    if (rest.length > 0) {
      // What flows comes from a client to whom we have proved ourselves.
      if (unseal !== undefined && !this.#free) rest = unseal(rest);
      if (this.#headTaken < 2) this.#takeHead(rest);
      try {
        tunnel.receive(number, rest);
      } catch (error) {
        return this.abort("rst", error);
      }
    }
  }

  #takeHead(bytes: Uint8Array): void {
    for (const byte of bytes.subarray(0, 2 - this.#headTaken)) this.#head[this.#headTaken++] = byte;
    if (this.#headTaken === 2) this.#options.onHead?.(this.#head);
  }

  /**
   * Sends one record of `payload` bytes outside the plan (an error that the tunnel holds for this
   * connection) and ends the connection.
   */
  refuse(payload: number): void {
    if (this.#done) return;
    const { connection, number, seal, tunnel } = this.#options;
    const prefix = this.#prefix.subarray(this.#prefixSent);
    const record = new Uint8Array(prefix.length + payload);
    record.set(prefix);
    const body = record.subarray(prefix.length);
    tunnel.fill(number, body, false);
    if (seal !== undefined) body.set(seal(body));
    connection.write(record);
    this.abort("fin");
  }

  /** Goes on with a message that waited for the connection to drain; called by the connection. */
  onDrain(): void {
    if (this.#done) return;
    this.#progress = this.#options.clock.now();
    if (this.#writing) return;
    if (this.#sending !== undefined) this.#sendRecords(this.#progress);
    else if (this.#free) this.#flow(true);
    else if (this.#closing !== undefined) this.#close();
  }

  /** The peer ended its direction or the connection broke; called by the connection. */
  onClose(reason: CloseReason): void {
    if (this.#done) return;
    const close = this.#options.script.close;
    const completed = this.#free ? reason === "fin" : this.#complete() && close !== undefined &&
      (reason === "fin" ? this.#finSent || close.by === this.#peer && close.how === "fin" : (
        reason === "rst" &&
        (close.by === this.#peer ? close.how === "rst" : this.#finSent && close.answer === "rst")
      ));
    // All has been sent and received: what the reset discards is the closing alert at most.
    const answer = completed && !this.#free && close?.by === this.#peer && close.answer === "rst";
    this.#finish({
      how: reason !== "fin" ? undefined : answer ? "rst" : "fin",
      completed,
      clean: completed && reason === "fin" && !this.#free,
      reason,
    });
  }

  /** Whether all that was planned, both ways, has been sent and received. */
  #complete(): boolean {
    const { script } = this.#options;
    return script.close !== undefined && this.#nextOwn() === undefined &&
      this.#sending === undefined && this.#received === script.total(this.#peer);
  }

  #nextOwn(): ScriptMessage | undefined {
    const { messages } = this.#options.script;
    while (this.#next < messages.length && messages[this.#next]!.end !== this.#own) this.#next++;
    return messages[this.#next];
  }

  /** Looks again at what is to be done: call it when the script has grown. */
  advance(): void {
    // While bytes are taken in, what they tell may come in pieces; then all is looked at once.
    if (this.#arrived === undefined) this.#advance(false);
  }

  /** With `inTurn` what is due already is done before this returns, not in a turn of its own. */
  #advance(inTurn: boolean): void {
    if (this.#advancing || this.#done || !this.#started) return;
    this.#advancing = true;
    this.#step(inTurn);
    this.#advancing = false;
    if (inTurn) this.#advance(false);
  }

  #step(inTurn: boolean): void {
    const { clock, connection, script } = this.#options;
    if (this.#free) return;
    if (
      script.close !== undefined && !script.free && this.#received > script.total(this.#peer)
    ) {
      return this.abort("rst", new Error("the peer sent more than planned"));
    }
    if (this.#timer !== undefined || this.#sending !== undefined || this.#closing !== undefined) {
      return;
    }
    const message = this.#nextOwn();
    const after = message?.after ?? script.total(this.#peer);
    if (this.#received < after || (message === undefined && script.close === undefined)) {
      this.#waited = true;
      return;
    }
    if (message === undefined && script.free) return this.#startFlow();
    if (message === undefined && script.close!.by !== this.#own) return;
    if (this.#waited) {
      // What it takes to make sense of the bytes, such as drawing the plan, is no thinking.
      const now = this.#arrived ?? clock.now();
      const came = now - (connection.reaction ?? 0);
      const doubt = this.#arrived === undefined ? 0 : this.#arrivedDoubt;
      const soonest = Math.max(this.#trigger - this.#doubt, came - doubt);
      this.#trigger = Math.max(this.#trigger, came);
      this.#doubt = this.#trigger - soonest;
    }
    this.#waited = false;
    const due = this.#trigger + (message ?? script.close!).time;
    this.#due = due;
    if (message === undefined && this.#options.farewell !== undefined) {
      return this.#awaitFarewell(due);
    }
    const act = () => {
      this.#timer = undefined;
      if (message === undefined) {
        this.#closing = script.close!.how;
        this.#close();
      } else {
        this.#sending = message;
        this.#sendingRecord = 0;
        this.#beginning = true;
        this.#sendRecords(due);
      }
    };
    if (inTurn && due <= clock.now()) act();
    else this.#timer = clock.at(due, act);
  }

  /** Writes records of the message being sent until the connection is full or the message ends. */
  #sendRecords(planned: number): void {
    const { beforeRecord, clock, connection, number, seal, stats, tunnel } = this.#options;
    const message = this.#sending!;
    while (this.#sendingRecord < message.records.length) {
      if (connection.queued > LOW_WATER) return;
      const size = message.records[this.#sendingRecord++]!;
      if (scratch.length < size) scratch = new Uint8Array(size);
      const buffer = scratch.subarray(0, size);
      const prefix = Math.min(this.#prefix.length - this.#prefixSent, size);
      let composition = { control: 0, data: 0, padding: 0 };
      if (prefix > 0) {
        buffer.set(this.#prefix.subarray(this.#prefixSent, this.#prefixSent + prefix));
        this.#prefixSent += prefix;
      }
      if (prefix < size) {
        beforeRecord?.(size - prefix);
        composition = tunnel.fill(
          number,
          buffer.subarray(prefix),
          this.#dataAllowed && !message.padding,
        );
        if (seal !== undefined) buffer.set(seal(buffer.subarray(prefix)), prefix);
      }
      this.#writing = true;
      connection.write(buffer);
      this.#writing = false;
      // Late is what has not left in time: filling and encrypting count.
      if (this.#beginning) this.#countLate();
      this.#beginning = false;
      if (this.#done) return;
      const wire = wireSize(size, connection.grid);
      stats.records++;
      stats.wire += wire;
      stats.control += composition.control + prefix;
      stats.data += composition.data;
      stats.padding += composition.padding;
      this.#log(planned, {
        what: "record",
        size: wire,
        control: composition.control + prefix,
        data: composition.data,
        padding: composition.padding,
      });
    }
    const now = clock.now();
    this.#sending = undefined;
    this.#next++;
    this.#progress = now;
    const inTime = planned === this.#due && now - this.#due < FORGIVEN;
    this.#trigger = inTime ? this.#due : now;
    if (!inTime) this.#doubt = 0;
    this.advance();
  }

  #startFlow(): void {
    const { connection, number, tunnel } = this.#options;
    this.#free = true;
    this.#freeBuffer = new Uint8Array(
      connection.writeFree === undefined ? connection.grid.maxPayload : FREE_WRITE,
    );
    tunnel.flow(number, () => this.#flow(true));
    this.#flow(true);
  }

  /** Sends what there is as long as the connection takes it at once. */
  #flow(patient: boolean): void {
    if (this.#flowing || this.#done) return;
    const { clock, connection, number, stats, tunnel } = this.#options;
    this.#flowing = true;
    while (connection.queued === 0 && !this.#done) {
      const { control, data } = tunnel.fillFree(number, this.#freeBuffer, patient);
      const size = control + data;
      if (size === 0) break;
      this.#writeFree(this.#freeBuffer.subarray(0, size));
      stats.control += control;
      stats.data += data;
    }
    this.#flowing = false;
    if (this.#done || this.#ackTimer !== undefined || !tunnel.owesAcks) return;
    this.#ackTimer = clock.at(clock.now() + ACK_DELAY, () => {
      this.#ackTimer = undefined;
      this.#flow(false);
    }, true);
  }

  #writeFree(bytes: Uint8Array): void {
    const { clock, connection, stats } = this.#options;
    if (connection.writeFree === undefined) connection.write(bytes);
    else connection.writeFree(bytes);
    const { grid } = connection;
    const records = Math.ceil(bytes.length / grid.maxPayload);
    const last = bytes.length - (records - 1) * grid.maxPayload;
    const wire = (records - 1) * wireSize(grid.maxPayload, grid) + wireSize(last, grid);
    stats.records += records;
    stats.wire += wire;
    this.#log(clock.now(), { what: "record", size: wire });
  }

  /** Closes when those that this connection is to close with do. */
  #awaitFarewell(due: number): void {
    const { clock, farewell, script } = this.#options;
    const close = (planned: number) => {
      if (this.#done || this.#closing !== undefined) return;
      if (this.#timer !== undefined) clock.cancel(this.#timer);
      this.#timer = undefined;
      this.#due = planned;
      this.#doubt = 0;
      this.#closing = script.close!.how;
      this.#close();
    };
    const latest = due + FAREWELL_PATIENCE;
    this.#timer = clock.at(latest, () => close(latest));
    farewell!.ready(this.#trigger, due, close);
  }

  /** Closes as planned, once everything written has left. */
  #close(): void {
    const { clock, connection } = this.#options;
    if (connection.queued > 0 && this.#closing === "rst") return;
    if (this.#closing === "rst") {
      this.#countLate();
      this.#finish({ how: "rst", completed: true });
      return;
    }
    this.#finSent = true;
    this.#progress = clock.now();
    this.#log(this.#due, { what: "close", how: "fin" });
    connection.close("fin");
    this.#countLate();
    if (!this.#done) this.#options.onClosing?.();
  }

  #countLate(): void {
    const { clock, stats } = this.#options;
    const late = clock.now() - this.#due;
    stats.lateness.add(late);
    stats.latenessAtMost.add(late + this.#doubt);
  }

  #log(
    planned: number,
    event: Pick<WireEvent, "what"> & Partial<WireEvent>,
  ): void {
    const { clock, connection, onWire, serial, session } = this.#options;
    onWire?.({
      time: clock.now(),
      planned,
      session,
      serial,
      connection: connection.id,
      size: 0,
      control: 0,
      data: 0,
      padding: 0,
      ...(this.#doubt === 0 ? {} : { doubt: this.#doubt }),
      ...event,
    });
  }

  #finish(end: {
    how?: "fin" | "rst";
    completed: boolean;
    clean?: boolean;
    stalled?: boolean;
    reason?: CloseReason;
    error?: unknown;
  }): void {
    if (this.#done) return;
    this.#done = true;
    const { clock, connection, number, onDone, stats, tunnel } = this.#options;
    if (this.#timer !== undefined) clock.cancel(this.#timer);
    if (this.#stallTimer !== undefined) clock.cancel(this.#stallTimer);
    if (this.#ackTimer !== undefined) clock.cancel(this.#ackTimer);
    if (end.how !== undefined && !this.#finSent) connection.close(end.how);
    else if (end.how === "rst") connection.close("rst");
    if (!this.#finSent) {
      this.#log(
        end.completed && this.#closing !== undefined ? this.#due : clock.now(),
        { what: "close", how: end.reason ?? end.how },
      );
    }
    if (end.completed) stats.completed++;
    else stats.unclean++;
    if (end.stalled) stats.stalled++;
    this.#options.farewell?.leave();
    tunnel.connectionClosed(number, end.clean ?? false);
    onDone({
      completed: end.completed,
      clean: end.clean ?? false,
      stalled: end.stalled ?? false,
      received: this.#received,
      ...(end.error === undefined ? {} : { error: end.error }),
    });
  }

  /** Milliseconds of thinking that the peer's next messages are allowed before ours. */
  #peerThinks(): number {
    const { messages } = this.#options.script;
    let sent = 0;
    let thinks = 0;
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      if (message.end === this.#peer) {
        sent += message.payload;
        if (sent > this.#received) thinks += message.time;
      } else if (i >= this.#next) break;
    }
    return thinks;
  }

  /**
   * Nothing may have to be said for long on a connection without a shape: a byte of padding shows each end
   * that the other is still there.
   */
  #checkSilence(): void {
    const { connection } = this.#options;
    this.#silentStalls = this.#received > this.#peerBefore ? 0 : this.#silentStalls + 1;
    this.#peerBefore = this.#received;
    if (this.#silentStalls >= SILENT_STALLS) {
      this.#finish({ how: "rst", completed: false, stalled: true });
      return;
    }
    this.#flow(false);
    if (connection.queued === 0 && !this.#done) this.#keepAlive();
    if (!this.#done) this.#armStall();
  }

  #keepAlive(): void {
    const { connection, number, stats, tunnel } = this.#options;
    const byte = this.#freeBuffer.subarray(0, 1);
    stats.padding += tunnel.fill(number, byte, false).padding;
    connection.write(byte);
    stats.records++;
    stats.wire += wireSize(1, connection.grid);
  }

  #armStall(): void {
    const { clock, connection } = this.#options;
    const stall = this.#options.stall();
    this.#stallTimer = clock.at(clock.now() + stall, () => {
      this.#stallTimer = undefined;
      if (this.#free) return this.#checkSilence();
      if (connection.queued < this.#queuedBefore || this.#received > this.#peerBefore) {
        this.#progress = clock.now();
      }
      this.#queuedBefore = connection.queued;
      this.#peerBefore = this.#received;
      // While our own timer runs, nobody is awaited.
      const waiting = this.#timer === undefined;
      if (!waiting) this.#progress = clock.now();
      const close = this.#options.script.close;
      const allowed = stall + (this.#sending !== undefined || this.#finSent ? 0 : (
        this.#peerThinks() + (this.#complete() && close?.by === this.#peer ? close.time : 0)
      ));
      if (waiting && clock.now() - this.#progress >= allowed) {
        this.#finish({ how: "rst", completed: false, stalled: true });
      } else this.#armStall();
    }, true);
  }
}
