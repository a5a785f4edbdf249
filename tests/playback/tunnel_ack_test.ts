import assert from "node:assert/strict";
import { Hub } from "./tunnel_hub.ts";

Deno.test("tunnel: an acknowledgement lost with its connection is given again", () => {
  const hub = new Hub();
  hub.client.sendControl(1, new Uint8Array(10));
  const first = hub.open();
  hub.fill(first, "client", 100);
  hub.deliver(first, "server");
  const second = hub.open();
  assert.ok(hub.fill(second, "server", 100).control > 0, "the acknowledgement");
  hub.close(second, false);
  const third = hub.open();
  hub.fill(third, "server", 100);
  hub.deliver(third, "client");
  assert.ok(hub.client.settled);
});

Deno.test("tunnel: where the peer has closed, nothing more is entrusted to the connection", () => {
  const hub = new Hub();
  hub.server.onStream = (stream) => stream.accept();
  const stream = hub.client.open({ host: "host.example", port: 1 });
  stream.write(new Uint8Array(100));
  const first = hub.open();
  const second = hub.open();
  hub.fill(first, "client", 300);
  hub.deliver(first, "server");
  hub.closeOneEnd(first, "server", true);
  hub.fill(second, "server", 300);
  hub.deliver(second, "client");
  // The client has not noticed the close itself, but has the last acknowledgement.
  stream.write(new Uint8Array(100));
  assert.equal(hub.fill(first, "client", 300).data, 0);
  assert.equal(hub.fill(second, "client", 300).data, 100);
});

Deno.test("tunnel: acknowledgements alone do not call forth each other for ever", () => {
  const hub = new Hub();
  hub.client.sendControl(1, new Uint8Array(10));
  hub.rounds(3);
  Object.assign(hub.sums, { control: 0, data: 0, padding: 0 });
  hub.rounds(200, 100);
  assert.ok(hub.sums.control < 100, `${hub.sums.control} bytes of control in idle cover`);
});

Deno.test("tunnel: of a frame cut by a clean close all is sent again at once", () => {
  const hub = new Hub({ finalAckTimeout: 1e9 });
  let bodies = 0;
  hub.server.onControl = (_connection, _type, body) => bodies += body.length;
  hub.client.sendControl(1, new Uint8Array(1000));
  const first = hub.open();
  hub.fill(first, "client", 400);
  hub.close(first, true);
  hub.rounds(1, 1100, hub.open());
  assert.equal(bodies, 1000);
});
