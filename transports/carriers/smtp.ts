/**
 * The carrier `smtp`: a real mail server's dialogue up to STARTTLS, then TLS 1.3.
 *
 * The plaintext part of every connection is the genuine server's own: the server's end relays it, byte for
 * byte and with its own delays, to a Postfix that the operator runs, and takes over after STARTTLS. Whoever
 * does not prove a secret inside TLS is joined to a fresh connection to that Postfix, behind TLS as well. The
 * Postfix is told each client's address by the PROXY protocol, version 1: without it, everybody would seem to come
 * from the relay, which mail servers trust.
 *
 * The secret is proved by the first record inside TLS, as with the carrier `tls`, and not by AUTH: its size is
 * then the model's, while a dialogue with AUTH would add exchanges that the modelled traffic does not have.
 *
 * @module
 */
import { UserError } from "../../base/mod.ts";
import type { Carrier } from "./carrier.ts";
import { askForTls, StartTlsWatch } from "./smtp_dialogue.ts";
import { PROXIED_NOBODY, proxyLine, startTlsCarrier } from "./starttls.ts";

/** What a client calls itself: what mail programs say that do not want to tell their address. */
const CLIENT_NAME = "[127.0.0.1]";

/** The operator's mail server cannot serve as the genuine one. */
export class MailServerError extends UserError {
  /** `address` as HOST:PORT. */
  constructor(readonly address: string, why: string, cause?: unknown) {
    super(
      `the mail server at ${address} cannot be the decoy: ${why}: it must be a Postfix smtpd with STARTTLS ` +
        `and smtpd_upstream_proxy_protocol=haproxy, for the carrier smtp only`,
      { cause },
    );
  }
}

/** The carrier smtp was chosen without a mail server behind it. */
export class NoMailServer extends UserError {
  /** Takes nothing. */
  constructor() {
    super(
      "the carrier smtp needs a genuine mail server that strangers meet: give its address with --decoy HOST:PORT",
    );
  }
}

/** The carrier `smtp`, for the registry. */
export const smtpCarrier: Carrier = startTlsCarrier({
  name: "smtp",
  // Mail programs offer none.
  alpn: false,
  clientName: CLIENT_NAME,
  ask: askForTls,
  watch: () => new StartTlsWatch(),
  preface: proxyLine,
  nobody: PROXIED_NOBODY,
  missing: () => new NoMailServer(),
  unfit: (address, why, cause) => new MailServerError(address, why, cause),
});
