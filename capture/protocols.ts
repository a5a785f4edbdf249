import type { ProtocolRecogniser } from "./handshake_recogniser.ts";
import { SMTP } from "./smtp_recogniser.ts";
import { SSH } from "./ssh_recogniser.ts";
import { TLS } from "./tls_recogniser.ts";

/**
 * The protocols recognised by default. To recognise another, hand the assembler a longer list:
 * `{ protocols: [...PROTOCOLS, MINE] }`.
 */
export const PROTOCOLS: readonly ProtocolRecogniser[] = [TLS, SSH, SMTP];
