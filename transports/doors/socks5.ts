import type { Socket } from "node:net";
import { SOCKS_REPLY } from "../../base/mod.ts";
import type { Address } from "./address.ts";
import { copyBothWays } from "./copy.ts";
import { type Door, listenDoor, type OpenStream } from "./door.ts";
import { Socks5Parser, socksReply } from "./socks5_codec.ts";
import type { TurnBudget } from "./turn_budget.ts";

/** Milliseconds that a client may take for its request. */
const REQUEST_DEADLINE = 30_000;

/**
 * A SOCKS 5 door (RFC 1928): CONNECT by name, IPv4 and IPv6, without authentication. Names are resolved
 * at the other end. A success is reported once the destination has been reached.
 *
 * @throws {ListenError} if the address cannot be had.
 */
export function listenSocks5(
  address: Address,
  open: OpenStream,
  budget: TurnBudget,
): Promise<Door> {
  return listenDoor(address, "socks5", "--socks", (socket) => serve(socket, open, budget));
}

function serve(socket: Socket, open: OpenStream, budget: TurnBudget): void {
  const parser = new Socks5Parser();
  const deadline = setTimeout(() => socket.destroy(), REQUEST_DEADLINE);
  const done = () => {
    clearTimeout(deadline);
    socket.removeListener("data", onData);
    socket.removeListener("end", onEnd);
  };
  const onData = (bytes: Uint8Array) => {
    const { reply, failed, request, rest } = parser.push(bytes);
    if (reply.length > 0) socket.write(reply);
    if (failed) {
      done();
      socket.destroySoon();
    } else if (request !== undefined) {
      done();
      socket.pause();
      void connect(socket, request, rest!, open, budget);
    }
  };
  const onEnd = () => socket.destroySoon();
  socket.on("data", onData);
  socket.on("end", onEnd);
  socket.once("close", done);
  socket.resume();
}

async function connect(
  socket: Socket,
  destination: Address,
  rest: Uint8Array,
  open: OpenStream,
  budget: TurnBudget,
): Promise<void> {
  let stream;
  try {
    stream = open(destination);
    const gone = () => stream!.reset();
    socket.once("close", gone);
    await stream.opened;
    socket.removeListener("close", gone);
  } catch (error) {
    stream?.reset();
    if (socket.destroyed) return;
    socket.write(socksReply(replyCode(error)));
    socket.destroySoon();
    return;
  }
  if (socket.destroyed) {
    stream.reset();
    return;
  }
  socket.write(socksReply(SOCKS_REPLY.succeeded));
  await copyBothWays(socket, stream, budget, rest);
}

/** The reply code for what ended a stream: the peer's own where it is one of RFC 1928's. */
function replyCode(error: unknown): number {
  const code = (error as { code?: unknown }).code;
  return typeof code === "number" && code >= 1 && code <= 8 ? code : SOCKS_REPLY.failed;
}
