import type { Buffer } from "node:buffer";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { SOCKS_REPLY } from "../../base/mod.ts";
import type { TunnelStream } from "../../playback/stream.ts";
import type { Address } from "./address.ts";
import { copyBothWays } from "./copy.ts";
import { type Door, listenDoor, type OpenStream } from "./door.ts";
import { NodeStream } from "./http_stream.ts";
import { absoluteTarget, connectTarget, endToEnd } from "./http_target.ts";
import type { TurnBudget } from "./turn_budget.ts";

/** Bytes that the head of a request or an answer may have. */
const MAX_HEAD = 32_768;
/** Milliseconds that a connection may stay without a complete request. */
const IDLE_DEADLINE = 60_000;

/** What a door's connection is about. */
interface Visit {
  /** Requests whose answers are not complete. */
  open: number;
  /** Gives up the newest of them if its body is not complete. */
  abandon: ((status: number) => boolean) | undefined;
  deadline: ReturnType<typeof setTimeout> | undefined;
  /** Nothing that comes is served any more: it is closed after the answers that are due. */
  over: boolean;
}

/**
 * An HTTP proxy door: CONNECT (RFC 9110, section 9.3.6), and requests in absolute form (RFC 9112, section
 * 3.2.2), which reach the origin in origin form, without the fields of this hop, and each over a stream
 * of its own with `Connection: close`; connections of the user's are kept alive. Node's server and client
 * do the parsing and the framing, so that what is passed on was understood: bodies are framed anew.
 *
 * Says 400 to what is not a request to a proxy, 405 to TRACE, 408 to a connection on which no complete
 * header comes within `idleDeadline` milliseconds (a minute if absent), 431 to heads over 32 KiB, 501 to
 * transfer codings other than chunked; 403, 502 and 504 for what the tunnel's other end reports.
 *
 * @throws {ListenError} if the address cannot be had.
 */
export function listenHttp(
  address: Address,
  open: OpenStream,
  budget: TurnBudget,
  idleDeadline = IDLE_DEADLINE,
): Promise<Door> {
  const visits = new WeakMap<object, Visit>();
  const server = http.createServer({ maxHeaderSize: MAX_HEAD, keepAliveTimeout: idleDeadline });
  server.timeout = 0;
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  // A client may end its side after the request and still wants the answer.
  Object.assign(server, { httpAllowHalfOpen: true });

  const arm = (visit: Visit, idle: () => void) => {
    clearTimeout(visit.deadline);
    visit.deadline = setTimeout(idle, idleDeadline);
  };
  const serve = (request: IncomingMessage, answer: ServerResponse) => {
    const { socket } = request;
    const visit = visits.get(socket);
    if (visit === undefined) return;
    visit.open++;
    clearTimeout(visit.deadline);
    answer.once("close", () => {
      if (--visit.open > 0 || socket.destroyed) return;
      if (visit.over) hangUp(socket);
      // Not with a 408: the client might take it for the answer to what it is about to ask.
      else arm(visit, () => socket.destroySoon());
    });
    const fail = forward(request, answer, open, budget);
    visit.abandon = (status) => {
      if (request.complete) return false;
      fail(status);
      return true;
    };
  };
  server.on("request", serve);
  server.on("checkContinue", serve);
  server.on("connect", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.pause();
    const visit = visits.get(socket);
    if (visit === undefined || visit.over) return;
    visit.over = true;
    clearTimeout(visit.deadline);
    if (visit.open === 0) void connect(request, socket, new Uint8Array(head), open, budget);
  });
  server.on("clientError", (error: Error & { code?: string }, socket: Socket) => {
    const visit = visits.get(socket);
    if (visit === undefined || error.code === "ECONNRESET") return void socket.destroy();
    // What follows a request that said `Connection: close` is not read.
    if (error.code === "HPE_CLOSED_CONNECTION") return;
    const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
    if (visit.over) return;
    if (visit.abandon?.(status)) visit.over = true;
    else refuse(socket, visit, status);
  });

  return listenDoor(address, "http", "--http", (socket) => {
    const visit: Visit = {
      open: 0,
      abandon: undefined,
      deadline: undefined,
      over: false,
    };
    visits.set(socket, visit);
    arm(visit, () => refuse(socket, visit, 408));
    socket.once("close", () => clearTimeout(visit.deadline));
    server.emit("connection", socket);
    socket.resume();
  });
}

/** Ends a connection: with a failure, or after the answers that are due. */
function refuse(socket: Socket, visit: Visit, status: number): void {
  if (visit.over) return;
  visit.over = true;
  clearTimeout(visit.deadline);
  if (visit.open === 0) sayFailure(socket, status);
}

const MEANING: Record<number, string> = {
  400: "this is not a request to a proxy",
  403: "the tunnel's server does not connect to such addresses",
  405: "this method is not passed on",
  408: "no complete request came in time",
  431: `the header is longer than ${MAX_HEAD} bytes`,
  501: "this transfer coding is not understood",
  502: "the destination cannot be reached",
  504: "the destination did not answer in time",
};

/** Fields and text of an answer of our own. */
function failure(status: number): { fields: string[]; text: string } {
  const text = `${status}: ${MEANING[status]}\n`;
  return {
    text,
    fields: [
      ...["Content-Type", "text/plain"],
      ...["Content-Length", String(text.length)],
      ...["Connection", "close"],
      ...(status === 405 ? ["Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT"] : []),
    ],
  };
}

/** Writes a failure to a connection that no answer of the server's is on. */
function sayFailure(socket: Socket, status: number): void {
  if (socket.destroyed) return;
  const { fields, text } = failure(status);
  const lines: string[] = [];
  for (let at = 0; at < fields.length; at += 2) lines.push(`${fields[at]}: ${fields[at + 1]}\r\n`);
  socket.write(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\n${lines.join("")}\r\n${text}`);
  hangUp(socket);
}

/** Ends a connection, and reads what still comes for a moment, or a reset would overtake the answer. */
function hangUp(socket: Socket): void {
  socket.removeAllListeners("data");
  socket.on("data", () => {});
  socket.resume();
  socket.end();
  const deadline = setTimeout(() => socket.destroy(), 1000);
  socket.once("end", () => socket.destroySoon());
  socket.once("close", () => clearTimeout(deadline));
}

/** Answers a request with a failure, if nothing has been answered yet. */
function answerFailure(request: IncomingMessage, answer: ServerResponse, status: number): void {
  if (answer.headersSent || answer.destroyed) {
    // A torn answer must not look like a whole one.
    request.socket.resetAndDestroy();
    return;
  }
  const { fields, text } = failure(status);
  answer.writeHead(status, fields as unknown as http.OutgoingHttpHeaders);
  answer.end(request.method === "HEAD" ? undefined : text);
  request.unpipe();
  request.resume();
}

/** The status for what ended a stream: codes are RFC 1928's where it has one. */
function statusOf(error: unknown): number {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (code === SOCKS_REPLY.forbidden) return 403;
  return code === SOCKS_REPLY.expired ? 504 : 502;
}

async function connect(
  request: IncomingMessage,
  socket: Socket,
  head: Uint8Array,
  open: OpenStream,
  budget: TurnBudget,
): Promise<void> {
  const destination = connectTarget(request.url ?? "");
  if (destination === undefined) return sayFailure(socket, 400);
  let stream: TunnelStream | undefined;
  const gone = () => stream?.reset();
  socket.once("close", gone);
  try {
    stream = open(destination);
    await stream.opened;
  } catch (error) {
    stream?.reset();
    return sayFailure(socket, statusOf(error));
  } finally {
    socket.removeListener("close", gone);
  }
  if (socket.destroyed) {
    stream.reset();
    return;
  }
  socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
  await copyBothWays(socket, stream, budget, head);
}

/** The fields that the origin is sent. */
function fieldsFor(request: IncomingMessage, host: string): string[] {
  const fields = ["Host", host];
  const kept = endToEnd(request.rawHeaders);
  for (let at = 0; at < kept.length; at += 2) {
    if (kept[at]!.toLowerCase() !== "host") fields.push(kept[at]!, kept[at + 1]!);
  }
  if (request.headers["transfer-encoding"] !== undefined) {
    fields.push("Transfer-Encoding", "chunked");
  }
  fields.push("Connection", "close");
  return fields;
}

/** Passes a request on. Returns what gives it up and answers with a failure. */
function forward(
  request: IncomingMessage,
  answer: ServerResponse,
  open: OpenStream,
  budget: TurnBudget,
): (status: number) => void {
  const fail = (status: number) => answerFailure(request, answer, status);
  const { method = "", url = "", headers } = request;
  const coding = headers["transfer-encoding"];
  const refused = (status: number) => {
    fail(status);
    return fail;
  };
  if (method === "TRACE") return refused(405);
  if (coding !== undefined && coding.trim().toLowerCase() !== "chunked") {
    return refused(501);
  }
  const target = absoluteTarget(method, url);
  if (target === undefined) return refused(400);
  let failed: unknown;
  let answered = false;
  const upstream = http.request({
    createConnection: () => {
      const stream = open(target.origin);
      stream.opened.catch((error: unknown) => failed ??= error);
      return new NodeStream(stream, budget) as unknown as Socket;
    },
    method,
    path: target.path,
    headers: fieldsFor(request, target.host) as unknown as http.OutgoingHttpHeaders,
    setHost: false,
    maxHeaderSize: MAX_HEAD,
  });
  upstream.on("continue", () => answer.writeContinue());
  upstream.on("response", (response: IncomingMessage) => {
    answered = true;
    relay(request, response, answer);
  });
  upstream.on("error", (error) => failed ??= error);
  upstream.on("close", () => {
    if (!answered && !answer.headersSent) fail(statusOf(failed));
  });
  answer.on("close", () => {
    upstream.destroy();
    // What the origin did not want to read is not the next request.
    request.unpipe();
    request.resume();
  });
  request.on("error", () => upstream.destroy());
  request.pipe(upstream);
  return (status) => {
    failed ??= new Error("given up");
    fail(status);
    upstream.destroy();
  };
}

/** Passes the origin's answer on. */
function relay(request: IncomingMessage, response: IncomingMessage, answer: ServerResponse): void {
  const coding = response.headers["transfer-encoding"];
  if (coding !== undefined && coding.trim().toLowerCase() !== "chunked") {
    response.destroy();
    return answerFailure(request, answer, 502);
  }
  try {
    answer.sendDate = false;
    answer.writeHead(
      response.statusCode ?? 502,
      response.statusMessage ?? "",
      endToEnd(response.rawHeaders) as unknown as http.OutgoingHttpHeaders,
    );
  } catch {
    response.destroy();
    return answerFailure(request, answer, 502);
  }
  const torn = () => request.socket.resetAndDestroy();
  response.on("error", torn);
  response.on("aborted", torn);
  response.pipe(answer);
}
