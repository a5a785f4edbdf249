/**
 * IMAP with STARTTLS as a protocol from outside: nothing in the rooms of the core knows of it.
 *
 *     deno task learn mail.pcap --protocol imap --protocol-plugin ./examples/imap/protocol.ts
 *
 * @module
 */
import type { Protocol } from "../../protocols/mod.ts";
import { imapCarrier } from "./carrier.ts";
import { IMAP_RECOGNISER } from "./recogniser.ts";

const imap: Protocol = {
  name: "imap",
  ports: [143],
  carrier: "imap",
  handshakes: ["imap-starttls"],
  // Where a mail server that offers STARTTLS commonly listens; --decoy names another.
  decoy: "127.0.0.1:143",
  // 80 connections of Python's imaplib with Dovecot on loopback, by record.ts.
  model: new URL("./imap.json", import.meta.url),
  recogniser: IMAP_RECOGNISER,
  transport: imapCarrier,
};

export default imap;
