import { randomBytes, randomInt } from "node:crypto";
import { loadModelText, modelFromFile, PlansAhead } from "../../models/mod.ts";
import { StreamRefusedError, type TunnelStream, warmUp } from "../../playback/mod.ts";
import { type CarrierClient, carrierOf } from "../carriers/mod.ts";
import { copyBothWays, formatAddress, TurnBudget } from "../doors/mod.ts";
import {
  ArgumentError,
  type ClientConnection,
  type ClientContext,
  type ClientHandler,
  DeadlineError,
  DialError,
  oneArg,
  reasonOf,
  SOCKS_REPLY,
  socksReplyOf,
} from "../pt/mod.ts";
import { formatLine, LINE_KEYS, LineError, lineOf, type ServerLine } from "./line.ts";
import { ORPORT } from "./pt_orport.ts";
import { carrierOptionsOf, checkCarrier, formOf, warnOfNoCover } from "./standalone.ts";
import { TmClient } from "./tm_client.ts";

/** Failed attempts in a row before tor is told; tor has pauses of its own. */
const ATTEMPTS = 3;
/** Milliseconds that a stream may take to reach the bridge's tor. */
const OPEN_DEADLINE = 120_000;
/** Milliseconds between two looks at whether a tunnel is still used: at least, and at most. */
const LIFE = [1_800_000, 3_600_000] as const;
/** Milliseconds for the leave that is taken of servers at the end. */
const FAREWELL = 400;

/** How the client transport finds what it plays. */
export interface MimicClientOptions {
  /** Model files (their texts) besides the built-in ones, by the name that a bridge line gives them. */
  readonly models?: ReadonlyMap<string, string>;
}

/** The client transport, and what ends its tunnels. */
export interface MimicClient {
  /** Serves tor's connections; for `runPluggableTransport`. */
  readonly handler: ClientHandler;
  /** Takes leave of all servers. */
  close(): Promise<void>;
}

/**
 * The client side of the transport `mimic`: tor's connections become streams in a tunnel, one tunnel for each
 * (server, credentials, model), begun by the first connection. A tunnel plays its cover with and without
 * connections; whether anybody still uses it is looked at in moments drawn in advance, half an hour to an
 * hour apart, and a tunnel that had no connection since the look before ends. So neither the beginning nor
 * the end of one of tor's connections shows.
 */
export function mimicClient(options: MimicClientOptions = {}): MimicClient {
  const tunnels = new Map<string, SharedTunnel>();
  const budget = new TurnBudget();
  const tunnelOf = async (connection: ClientConnection): Promise<SharedTunnel> => {
    const { line, insisted } = lineIn(connection);
    const key = formatLine(line);
    const before = tunnels.get(key);
    if (before !== undefined) return before;
    const text = options.models?.get(line.model) ?? await loadModelText(line.model);
    // While the model was read another connection may have begun the tunnel.
    const meanwhile = tunnels.get(key);
    if (meanwhile !== undefined) return meanwhile;
    const tunnel = new SharedTunnel(connection.context, line, text, insisted, () => {
      if (tunnels.get(key) === tunnel) tunnels.delete(key);
    });
    tunnels.set(key, tunnel);
    return tunnel;
  };
  return {
    handler: async (connection) => {
      const tunnel = await tunnelOf(connection);
      const stream = await tunnel.open(connection.signal);
      const onGone = () => stream.reset();
      try {
        await copyBothWays(connection.accept(), stream, budget);
      } catch (error) {
        onGone();
        throw error;
      } finally {
        tunnel.done();
      }
    },
    close: async () => {
      await Promise.all([...tunnels.values()].map((tunnel) => tunnel.close()));
    },
  };
}

/** The bridge line that a connection came with. */
function lineIn({ args, target }: ClientConnection): { line: ServerLine; insisted: boolean } {
  const values = new Map<string, string>();
  for (const key of LINE_KEYS) {
    const value = oneArg(args, key);
    if (value !== undefined) values.set(key, value);
  }
  try {
    return { line: lineOf(target, values), insisted: values.has("carrier") };
  } catch (error) {
    if (error instanceof LineError) throw new ArgumentError(error.message, { cause: error });
    throw error;
  }
}

/** The reply for what kept a tunnel from its server: the innermost error that knows one. */
function replyTo(error: unknown): number {
  for (let at = error; at instanceof Error; at = at.cause) {
    const reply = socksReplyOf(at);
    if (reply !== SOCKS_REPLY.failed) return reply;
  }
  return SOCKS_REPLY.failed;
}

/** One tunnel and the connections of tor's that use it. */
class SharedTunnel {
  readonly #client: TmClient;
  readonly #carrier: Promise<CarrierClient>;
  readonly #onEnd: () => void;
  #uses = 0;
  #usedSince = true;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    context: ClientContext,
    line: ServerLine,
    modelText: string,
    insisted: boolean,
    onEnd: () => void,
  ) {
    const model = modelFromFile(modelText, line.model);
    checkCarrier(model, line.carrier, insisted);
    warnOfNoCover(model, (text) => context.log("warning", text));
    const look = carrierOf(line.carrier).clientNote?.();
    if (look !== undefined) context.log("info", look);
    const { address, master, schedule, sessions } = line;
    this.#onEnd = onEnd;
    const carrier = carrierOf(line.carrier).client({
      ...carrierOptionsOf(line, address),
      folder: context.stateFolder,
      open: () => context.dial(address),
      direct: context.direct,
    });
    carrier.catch(() => {});
    this.#carrier = carrier;
    this.#client = new TmClient({
      server: formatAddress(address),
      secret: line.secret,
      connect: async (command) => (await carrier).connect(command),
      model,
      plans: (key) => new PlansAhead(modelText, key, { model }),
      seed: new Uint8Array(randomBytes(32)),
      form: formOf(model, line),
      attempts: ATTEMPTS,
      ...(master === undefined ? {} : { master }),
      ...(schedule === undefined ? {} : { schedule }),
      ...(sessions === undefined ? {} : { sessions }),
      onNote: (text) => context.log("info", text),
    });
    warmUp(model);
    this.#client.start();
    this.#client.ready.catch(() => this.#forget());
    this.#client.done.catch((error) => {
      context.log("warning", `a tunnel ended: ${reasonOf(error)}`);
      this.#forget();
    });
    this.#look();
  }

  /**
   * Opens a stream to the bridge's tor; resolves when that has been reached. Each is to be followed by
   * {@linkcode SharedTunnel.done}.
   *
   * @throws {DialError} with what tor is to be told.
   */
  async open(signal: AbortSignal): Promise<TunnelStream> {
    this.#uses++;
    this.#usedSince = true;
    let stream: TunnelStream | undefined;
    const over = Promise.withResolvers<never>();
    const deadline = setTimeout(
      () => over.reject(new DeadlineError("the way to the bridge's tor", OPEN_DEADLINE)),
      OPEN_DEADLINE,
    );
    const onAbort = () => over.reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    try {
      await Promise.race([this.#client.ready, over.promise]);
      stream = this.#client.open(ORPORT);
      await Promise.race([stream.opened, over.promise]);
      return stream;
    } catch (error) {
      stream?.reset();
      this.done();
      if (error instanceof DialError || signal.aborted) throw error;
      if (error instanceof StreamRefusedError) {
        const reply = error.code >= 1 && error.code <= 8 ? error.code : SOCKS_REPLY.failed;
        throw new DialError("the bridge could not reach its tor", reply, { cause: error });
      }
      throw new DialError(reasonOf(error), replyTo(error), { cause: error });
    } finally {
      clearTimeout(deadline);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** A stream is over. */
  done(): void {
    this.#uses--;
  }

  /** Ends the tunnel. */
  async close(): Promise<void> {
    this.#forget();
    await this.#client.stop(FAREWELL);
    await this.#carrier.then((carrier) => carrier.close(), () => {});
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#onEnd();
  }

  #look(): void {
    this.#timer = setTimeout(() => {
      if (this.#uses === 0 && !this.#usedSince) return void this.close();
      this.#usedSince = this.#uses > 0;
      this.#look();
    }, randomInt(...LIFE));
  }
}
