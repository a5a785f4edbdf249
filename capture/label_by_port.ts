import { REGISTERED_PORTS } from "../protocols/registry.ts";
import type { Connection } from "./connection.ts";

/** Well-known TCP ports (IANA) of other protocols that people classify, and the label of each. */
const LABELS: ReadonlyMap<number, string> = new Map([
  [20, "ftp-data"],
  [21, "ftp"],
  [23, "telnet"],
  [53, "dns"],
  [80, "http"],
  [110, "pop3"],
  [139, "smb"],
  [143, "imap"],
  [179, "bgp"],
  [389, "ldap"],
  [445, "smb"],
  [636, "ldap"],
  [853, "dns"],
  [990, "ftp"],
  [993, "imap"],
  [995, "pop3"],
  [1433, "mssql"],
  [1723, "pptp"],
  [1883, "mqtt"],
  [3306, "mysql"],
  [3389, "rdp"],
  [5060, "sip"],
  [5061, "sip"],
  [5222, "xmpp"],
  [5432, "postgresql"],
  [5900, "vnc"],
  [6379, "redis"],
  [6667, "irc"],
  [6697, "irc"],
  [8080, "http"],
  [8883, "mqtt"],
]);

/** The label of a well-known TCP port, or undefined. */
export function labelOfPort(port: number): string | undefined {
  return REGISTERED_PORTS.get(port) ?? LABELS.get(port);
}

/**
 * Labels a connection by its server's well-known port, as the seed labelled its training data; undefined
 * where the port is not well known.
 *
 * @example
 * ```ts
 * import { labelByPort } from "./label_by_port.ts";
 * if (labelByPort({ serverPort: 587 }) !== "smtp") throw new Error("submission is mail");
 * ```
 */
export function labelByPort(connection: Pick<Connection, "serverPort">): string | undefined {
  return labelOfPort(connection.serverPort);
}
