import assert from "node:assert/strict";
import { ConstantRate } from "../../models/constant_rate.ts";
import { LocalPlans } from "../../models/plans.ts";

Deno.test("constant rate is the seed's: 1448 bytes every 500 ms, echoed, ten exchanges", () => {
  const model = new ConstantRate();
  const { exchanges, close } = model.connection();
  assert.equal(exchanges.length, 10);
  let before = 0;
  for (const [index, { request, response }] of exchanges.entries()) {
    assert.equal(request.size, 1448);
    assert.equal(request.time, index === 0 ? 0 : 500);
    assert.equal(request.lead, before, "a request waits for no echo");
    assert.deepEqual(response, [{ type: "data", size: 1448, time: 0, lead: 0 }]);
    before += 1448;
  }
  assert.deepEqual(close, { by: "client", how: "fin", time: 0 });
  assert.equal(model.connectionGap(), 5000);
  assert.equal(model.session(), undefined);
  assert.equal(model.episode(), undefined);
});

Deno.test("plans refuse a seed of the wrong length", () => {
  assert.throws(() => new LocalPlans(new ConstantRate(), new Uint8Array(16)), /32 bytes/);
});
