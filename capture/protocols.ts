import { provide, RECOGNISERS } from "../protocols/registry.ts";
import type { ProtocolRecogniser } from "./handshake_recogniser.ts";
import { SMTP } from "./smtp_recogniser.ts";
import { SSH } from "./ssh_recogniser.ts";
import { TLS } from "./tls_recogniser.ts";

for (const recogniser of [TLS, SSH, SMTP]) provide({ recogniser });

/**
 * The protocols recognised by default: our own, and those registered since. To recognise another once, hand the assembler a longer list:
 * `{ protocols: [...PROTOCOLS, MINE] }`.
 */
export const PROTOCOLS: readonly ProtocolRecogniser[] = RECOGNISERS;
