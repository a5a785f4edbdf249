/**
 * A Postfix for the carrier `smtp`, in whatever network namespace this runs: writes its certificate and key into a
 * folder, says the port that expects the PROXY protocol, and ends with its standard input.
 *
 * @module
 */
import { startGenuinePostfix } from "../../tests/transports/genuine_postfix.ts";

const [folder, networks] = Deno.args as [string, string];
const postfix = await startGenuinePostfix(networks);
try {
  await Deno.writeTextFile(`${folder}/mail.pem`, postfix.identity.certificate);
  await Deno.writeTextFile(`${folder}/mail.key`, postfix.identity.key, { mode: 0o600 });
  Deno.stdout.writeSync(new TextEncoder().encode(`${postfix.behind}\n`));
  for await (const _ of Deno.stdin.readable);
} finally {
  await postfix.stop();
}
Deno.exit(0);
