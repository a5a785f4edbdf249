import assert from "node:assert/strict";
import { captureLive, LiveCaptureError } from "../../capture/live.ts";

/** Whether this process may record on the loopback interface. */
async function mayRecord(): Promise<boolean> {
  try {
    const stop = AbortSignal.timeout(300);
    await captureLive("lo", () => {}, { signal: stop });
    return true;
  } catch (error) {
    if (error instanceof LiveCaptureError) return false;
    throw error;
  }
}

const privileged = await mayRecord();

Deno.test({
  name: "privileged: packets of the loopback interface, as they come",
  ignore: !privileged,
  fn: async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const stop = new AbortController();
    let payload = 0;
    let fins = 0;
    const recording = captureLive("lo", (packet) => {
      assert.equal(packet.protocol, 6);
      payload += packet.payloadLength;
      if ((packet.flags & 1) !== 0 && ++fins === 2) stop.abort();
    }, { filter: `tcp port ${port}`, signal: stop.signal });
    // tcpdump needs a moment to listen: connections are made until one was seen whole.
    while (!stop.signal.aborted) {
      const [client, server] = await Promise.all([
        Deno.connect({ hostname: "127.0.0.1", port }),
        listener.accept(),
      ]);
      await client.write(new Uint8Array(100));
      await server.read(new Uint8Array(100));
      client.close();
      server.close();
      await new Promise((done) => setTimeout(done, 50));
    }
    listener.close();
    const summary = await recording;
    assert.ok(payload >= 100);
    assert.ok(summary.tcp >= 6);
    assert.equal(summary.name, "lo");
  },
});

Deno.test({
  name: "privileged: an interface that does not exist, and a filter that is none",
  ignore: !privileged,
  fn: async () => {
    await assert.rejects(captureLive("nosuchdevice0", () => {}), (error) => {
      assert.ok(error instanceof LiveCaptureError);
      assert.match(error.message, /^nosuchdevice0: No such device[^\n]*$/);
      return true;
    });
    await assert.rejects(captureLive("lo", () => {}, { filter: "no filter" }), LiveCaptureError);
  },
});

Deno.test("the recording program is missing", async () => {
  await assert.rejects(
    captureLive("lo", () => {}, { program: "no-such-program-to-record" }),
    (error) =>
      error instanceof LiveCaptureError &&
      error.message === "lo: no-such-program-to-record is missing: install it to record",
  );
});
