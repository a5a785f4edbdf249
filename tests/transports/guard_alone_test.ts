import assert from "node:assert/strict";
import type { CarrierConnection } from "../../transports/carriers/mod.ts";
import { guard } from "../../transports/mimic/decoy.ts";

Deno.test("guard: who comes without a decoy and ends without a word is let go of", () => {
  const closed: string[] = [];
  let over = 0;
  const connection: CarrierConnection = {
    genuine: "none",
    certificateDigest: new Uint8Array(32),
    localPort: 0,
    remoteAddress: "",
    remotePort: 0,
    grid: { overhead: 34, maxPayload: 32_768 },
    id: "1",
    listener: undefined,
    queued: 0,
    write: () => {},
    close: (how) => closed.push(how),
    unread: () => {},
  };
  const decoy = { address: { host: "127.0.0.1", port: 1 }, close: () => Promise.resolve() };
  guard(connection, decoy, () => "stranger", () => assert.fail("nobody"), () => over++);
  connection.listener!.onClose("fin");
  assert.deepEqual([closed, over], [["rst"], 1]);
  connection.listener!.onClose("fin");
  assert.deepEqual([closed, over], [["rst"], 1]);
});
