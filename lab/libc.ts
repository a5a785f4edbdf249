import { UserError } from "../base/mod.ts";

/** A call into the kernel failed. */
export class SystemCallFailed extends UserError {
  /** `what` failed with the C library's `errno`. */
  constructor(what: string, readonly errno: number) {
    super(`${what} failed (errno ${errno}): the laboratory's link needs root or CAP_NET_ADMIN`);
  }
}

const SYMBOLS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  ppoll: { parameters: ["buffer", "u64", "buffer", "pointer"], result: "i32" },
  prctl: { parameters: ["i32", "u64"], result: "i32" },
  sched_setscheduler: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
} as const;

const O_RDWR = 0x2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;
const CLONE_NEWNET = 0x40000000;
const TUNSETIFF = 0x400454can;
const IFF_TUN = 0x1;
const IFF_NO_PI = 0x1000;
const PR_SET_TIMERSLACK = 29;
const SCHED_FIFO = 1;
const POLLIN = 1;

/**
 * The few calls of Linux's C library that a TUN link needs. They run on the thread that makes them,
 * which matters: a network namespace belongs to a thread, not to the process.
 */
export class Libc {
  readonly #library = Deno.dlopen("libc.so.6", SYMBOLS);
  readonly #poll: Int32Array<ArrayBuffer>;
  readonly #pollBytes: Uint8Array<ArrayBuffer>;
  readonly #timeout = new BigInt64Array(2);
  readonly #timeoutBytes = new Uint8Array(this.#timeout.buffer);

  /** `watched` is the number of file descriptors that {@linkcode wait} watches. */
  constructor(watched: number) {
    this.#poll = new Int32Array(watched * 2);
    this.#pollBytes = new Uint8Array(this.#poll.buffer);
  }

  #fail(what: string): never {
    const location = this.#library.symbols.__errno_location();
    throw new SystemCallFailed(
      what,
      location === null ? 0 : new Deno.UnsafePointerView(location).getInt32(),
    );
  }

  /** Creates TUN interface `name` in the namespace at `namespace`; returns its descriptor. */
  openTun(namespace: string, name: string): number {
    const { symbols } = this.#library;
    const path = (text: string) => new TextEncoder().encode(`${text}\0`);
    const net = symbols.open(path(namespace), O_CLOEXEC);
    if (net < 0) this.#fail(`opening ${namespace}`);
    if (symbols.setns(net, CLONE_NEWNET) < 0) this.#fail(`entering ${namespace}`);
    symbols.close(net);
    const tun = symbols.open(path("/dev/net/tun"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun < 0) this.#fail("opening /dev/net/tun");
    const request = new Uint8Array(40);
    request.set(path(name).subarray(0, 16));
    new DataView(request.buffer).setUint16(16, IFF_TUN | IFF_NO_PI, true);
    if (symbols.ioctl(tun, TUNSETIFF, request) < 0) this.#fail(`creating ${name} in ${namespace}`);
    return tun;
  }

  /** Asks for timers with the least slack and to run before others, the laboratory's too, where that is allowed. */
  hurry(): void {
    this.#library.symbols.prctl(PR_SET_TIMERSLACK, 1n);
    this.#library.symbols.sched_setscheduler(0, SCHED_FIFO, new Uint8Array([2, 0, 0, 0]));
  }

  /** Reads one packet; -1 when none waits. */
  read(file: number, into: Uint8Array<ArrayBuffer>): number {
    return Number(this.#library.symbols.read(file, into, BigInt(into.length)));
  }

  /** Writes one packet; false when the kernel did not take it. */
  write(file: number, bytes: Uint8Array<ArrayBuffer>, length: number): boolean {
    return Number(this.#library.symbols.write(file, bytes, BigInt(length))) === length;
  }

  /** Sleeps until one of `files` is readable (or closed) or `milliseconds` have passed. */
  wait(files: readonly number[], milliseconds: number): void {
    for (let i = 0; i < files.length; i++) {
      this.#poll[2 * i] = files[i]!;
      this.#poll[2 * i + 1] = POLLIN;
    }
    const nanoseconds = Math.max(0, Math.round(milliseconds * 1e6));
    this.#timeout[0] = BigInt(Math.floor(nanoseconds / 1e9));
    this.#timeout[1] = BigInt(nanoseconds % 1e9);
    this.#library.symbols.ppoll(this.#pollBytes, BigInt(files.length), this.#timeoutBytes, null);
  }

  /** Whether the last {@linkcode wait} found something on its `index`th file. */
  ready(index: number): boolean {
    return (this.#poll[2 * index + 1]! >>> 16) !== 0;
  }
}
