import { formatIpv4, formatIpv6, type Target } from "./address.ts";
import { parseClientArgs, type TransportArgs } from "./args.ts";
import { ArgumentError, SOCKS_REPLY, SocksRequestError } from "./errors.ts";
import { concat, type Handshake, take } from "./handshake.ts";

/** What tor asks a client transport for. */
export interface SocksRequest {
  /** The bridge's address in the bridge line. */
  readonly target: Target;
  /** The arguments in the bridge line. */
  readonly args: TransportArgs;
}

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const USER_AND_PASSWORD = 2;
const NONE_ACCEPTABLE = 0xff;
const NONE = new Uint8Array();

/** The reply to a SOCKS request; tor does not look at the address in it. */
export function socksReply(code: number): Uint8Array {
  return Uint8Array.of(VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0);
}

function refuse(message: string, code: number): SocksRequestError {
  return new SocksRequestError(message, socksReply(code));
}

/**
 * The server's side of SOCKS 5 (RFC 1928) as tor talks it to a transport: method 2 is chosen whenever it is
 * offered, because user name and password (RFC 1929) carry the bridge line's arguments; CONNECT only. The reply to the
 * request is left to the caller, who sends it when the transport is connected.
 *
 * @throws {SocksRequestError} with the reply that refuses the request.
 */
export function* socksRequest(): Handshake<SocksRequest> {
  const [version, count] = yield 2;
  if (version !== VERSION) throw new SocksRequestError("not SOCKS 5", NONE);
  const methods = yield* take(count!);
  let args: TransportArgs = new Map();
  if (methods.includes(USER_AND_PASSWORD)) {
    yield Uint8Array.of(VERSION, USER_AND_PASSWORD);
    args = yield* argumentsInCredentials();
  } else if (methods.includes(NO_AUTHENTICATION)) {
    yield Uint8Array.of(VERSION, NO_AUTHENTICATION);
  } else {
    throw new SocksRequestError(
      "no known way of authentication",
      Uint8Array.of(VERSION, NONE_ACCEPTABLE),
    );
  }
  return { target: yield* request(), args };
}

/** RFC 1929: the arguments fill the user name first, then the password; a lone NUL stands for nothing. */
function* argumentsInCredentials(): Handshake<TransportArgs> {
  const bad = (message: string) => new SocksRequestError(message, Uint8Array.of(1, 1));
  const [version, userLength] = yield 2;
  if (version !== 1) throw bad("not version 1 of RFC 1929");
  if (userLength === 0) throw bad("the user name is empty");
  const user = (yield userLength!).slice();
  const [passwordLength] = yield 1;
  if (passwordLength === 0) throw bad("the password is empty");
  const password = yield passwordLength!;
  const bytes = passwordLength === 1 && password[0] === 0 ? user : concat(user, password);
  let args;
  try {
    args = parseClientArgs(argumentText(bytes));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw bad(`bridge line: ${error.message}`);
  }
  yield Uint8Array.of(1, 0);
  return args;
}

function argumentText(bytes: Uint8Array): string {
  if (bytes.includes(0)) throw new ArgumentError("the arguments hold a NUL");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ArgumentError("the arguments are not UTF-8");
  }
}

function* request(): Handshake<Target> {
  const [version, command, reserved, kind] = yield 4;
  if (version !== VERSION) throw refuse("not SOCKS 5", SOCKS_REPLY.failed);
  if (reserved !== 0) throw refuse("a reserved byte is set", SOCKS_REPLY.failed);
  if (command !== 1) throw refuse("only CONNECT is supported", SOCKS_REPLY.commandNotSupported);
  let host;
  if (kind === 1) {
    host = formatIpv4(yield 4);
  } else if (kind === 4) {
    host = formatIpv6(yield 16);
  } else if (kind === 3) {
    const [length] = yield 1;
    host = String.fromCharCode(...(yield* take(length!)));
    if (!/^[\x21-\x7e]+$/.test(host)) throw refuse("a malformed name", SOCKS_REPLY.failed);
  } else {
    throw refuse("unknown kind of address", SOCKS_REPLY.addressNotSupported);
  }
  const [high, low] = yield 2;
  return { host, port: high! << 8 | low! };
}
