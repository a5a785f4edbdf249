import { mayCallBack, OPENSSL_PATHS, openSslFunctions } from "./openssl_library.ts";
import { OpenSslSocket } from "./openssl_socket.ts";
import { OpenSslError, TlsContext, TlsSession } from "./openssl_tls.ts";
import type { TlsEngine } from "./tls_engine.ts";

const clients = new Map<"curl" | "swaks", TlsContext>();

/** What clients of one kind have in common, made once. */
function clientContext(program: "curl" | "swaks"): TlsContext {
  const kept = clients.get(program) ?? TlsContext.client(program);
  clients.set(program, kept);
  return kept;
}

/** The keys of the tickets that servers of this process give: a ticket outlives a renewed certificate. */
const ticketKeys = crypto.getRandomValues(new Uint8Array(80));

const openSslTls: TlsEngine = {
  name: "openssl",
  reaction: 0.39,
  departure: 0.13,
  ticketName: ticketKeys.subarray(0, 16),
  client: (raw, start, secure) => {
    // Programs that know application protocols are the web's.
    const context = clientContext(start.alpn === undefined ? "swaks" : "curl");
    return new OpenSslSocket(raw, new TlsSession(context, start), (session) =>
      secure({
        isTls13: session.isTls13,
        certificate: session.peerCertificate ?? new Uint8Array(),
      }));
  },
  server: ({ certificate, key }, alpn, exposed = false) => {
    const context = TlsContext.server({
      certificate,
      key,
      ticketKeys,
      exposed,
      ...(alpn === undefined ? {} : { alpn }),
    });
    return (raw, secure) => new OpenSslSocket(raw, new TlsSession(context), () => secure());
  },
};

/** A client's session with a server whose certificate does not matter; `undefined` without OpenSSL, or if
 * it cannot be asked for so. */
export function openSslSession(
  { alpn, serverName }: { readonly alpn?: readonly string[]; readonly serverName?: string },
): TlsSession | undefined {
  if (openSslClient() === undefined) return undefined;
  try {
    return new TlsSession(clientContext(alpn === undefined ? "swaks" : "curl"), {
      ...(alpn === undefined ? {} : { alpn }),
      ...(serverName === undefined ? {} : { serverName }),
    });
  } catch (error) {
    // A stranger's name may be none.
    if (error instanceof OpenSslError) return undefined;
    throw error;
  }
}

/** TLS by the system's OpenSSL for clients; `undefined` where it is absent or not allowed. */
export function openSslClient(): TlsEngine | undefined {
  return openSslFunctions() === undefined ? undefined : openSslTls;
}

/** The same for servers, which need more where they choose `alpn`. */
export function openSslServer(alpn?: readonly string[]): TlsEngine | undefined {
  return alpn === undefined || mayCallBack() ? openSslClient() : undefined;
}

/** What a client's user has to know where hellos are not OpenSSL's; `undefined` where they are. */
export function clientNote(): string | undefined {
  if (openSslClient() !== undefined) return undefined;
  return "hellos are Deno's, which observers can name: OpenSSL 3 (Debian: libssl3) and " +
    `--allow-ffi=${OPENSSL_PATHS[0]}, or where it lies, make them curl's`;
}

/** The same for a server's operator. */
export function serverNote(alpn?: readonly string[]): string | undefined {
  if (openSslServer(alpn) !== undefined) return undefined;
  return "handshakes are Deno's, which strangers can tell from the genuine server's: OpenSSL 3 (Debian: libssl3) and " +
    "--allow-ffi make them alike";
}
