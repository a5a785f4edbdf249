import assert from "node:assert/strict";
import { guard } from "../../transports/mimic/decoy.ts";
import { silentConnection } from "./silent_connection.ts";

Deno.test("guard: who comes without a decoy and ends without a word is let go of", () => {
  const closed: string[] = [];
  let over = 0;
  const connection = silentConnection({ genuine: "none", close: (how) => closed.push(how) });
  const decoy = { address: { host: "127.0.0.1", port: 1 }, close: () => Promise.resolve() };
  guard(connection, decoy, () => "stranger", () => assert.fail("nobody"), () => over++);
  connection.listener!.onClose("fin");
  assert.deepEqual([closed, over], [["rst"], 1]);
  connection.listener!.onClose("fin");
  assert.deepEqual([closed, over], [["rst"], 1]);
});
