import type { Protocol } from "./protocol.ts";

// Their code lies in capture and in transports/carriers, which provide it; their models in models/learned.

/** The web, inside TLS. Browsers offer h2 as well; a web server in front might choose it, and h2 hands nothing on. */
export const HTTPS: Protocol = {
  name: "https",
  ports: [443, 8443],
  carrier: "tls",
  handshakes: ["tls"],
  portLabels: ["https", "http"],
  alpn: { native: ["h2", "http/1.1"], fronted: ["http/1.1"] },
};

/** Mail, behind STARTTLS. */
export const SMTP: Protocol = {
  name: "smtp",
  ports: [25, 465, 587],
  carrier: "smtp",
  handshakes: ["smtp-starttls"],
};

/** Secure shell. */
export const SSH: Protocol = { name: "ssh", ports: [22], carrier: "ssh", handshakes: ["ssh"] };
