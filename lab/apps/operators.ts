import { seededRandom } from "../random.ts";
import { between, weighted, word } from "../workload/distribution.ts";

/** Who runs a host: what all hosts of a domain have in common, and others have otherwise. */
export interface Operator {
  /** The domain, such as news.test. */
  readonly domain: string;
  /** Kind of the certificate's key. */
  readonly key: "rsa" | "ecdsa";
  /** Certificates of issuers that are sent along. */
  readonly issuers: 1 | 2;
  /** Names in the certificate besides the hosts'. */
  readonly alternativeNames: number;
  /** The newest version of TLS. */
  readonly tls: "TLSv1.2" | "TLSv1.3";
  /** A header with the operator's policies; each answer has it. */
  readonly policy: string;
  /** The cookie that a browser without one is given. */
  readonly cookie: string;
  /** What the operator's programs put behind each address that they ask for: keys, versions, languages. */
  readonly query: string;
}

/** The domain of a host. */
export function domainOf(host: string): string {
  return host.split(".").slice(-2).join(".");
}

/**
 * The operator of a domain, the same in every round: certificates, headers, cookies and addresses of such lengths
 * as are met outside (a leaf with one issuer is 2 to 4 KB; policies up to a kilobyte; requests of 100 to 1,500 bytes).
 *
 * @example
 * ```ts
 * import { operatorOf } from "./operators.ts";
 * if (operatorOf("www.news.test").cookie !== operatorOf("img.news.test").cookie) throw new Error("differ");
 * if (operatorOf("news.test").policy === operatorOf("game.test").policy) throw new Error("equal");
 * ```
 */
export function operatorOf(host: string): Operator {
  const domain = domainOf(host);
  const random = seededRandom("operator", domain);
  const text = (low: number, high: number) => word(random, between(random, low, high));
  return {
    domain,
    key: weighted(random, { rsa: 0.6, ecdsa: 0.4 }),
    issuers: random.float() < 0.7 ? 1 : 2,
    alternativeNames: Math.round(Math.exp(between(random, 0, 400) / 100)),
    tls: random.float() < 0.2 ? "TLSv1.2" : "TLSv1.3",
    policy: text(40, 900),
    cookie: text(20, 700),
    query: random.float() < 0.25 ? "" : `?k=${text(8, 180)}`,
  };
}
