import { UserError } from "../../base/mod.ts";
import { provide, REGISTERED_CARRIERS } from "../../protocols/registry.ts";
import type { Carrier } from "./carrier.ts";
import { smtpCarrier } from "./smtp.ts";
import { sshCarrier } from "./ssh.ts";
import { tlsCarrier } from "./tls.ts";

for (const transport of [tlsCarrier, smtpCarrier, sshCarrier]) provide({ transport });

/** The carriers of this version, and those registered since, by name. */
export const CARRIERS: ReadonlyMap<string, Carrier> = REGISTERED_CARRIERS;

/** There is no carrier of that name. */
export class UnknownCarrier extends UserError {
  /** `asked` is what was asked for. */
  constructor(readonly asked: string) {
    super(`no such carrier: ${asked}: choose ${[...CARRIERS.keys()].join(", ")}`);
  }
}

/**
 * The carrier of that name.
 *
 * @throws {UnknownCarrier} if there is none.
 */
export function carrierOf(name: string): Carrier {
  const carrier = CARRIERS.get(name);
  if (carrier === undefined) throw new UnknownCarrier(name);
  return carrier;
}
