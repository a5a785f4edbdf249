import { encodeCapture, flowsOfStream, LinkType } from "../../capture/mod.ts";

Deno.test("a signal that comes after the end of a stream of packets does nothing", async () => {
  const stop = new AbortController();
  const stream = ReadableStream.from([]).pipeThrough(encodeCapture({ linkType: LinkType.raw }));
  await flowsOfStream({ name: "made", stream }, { onFlow() {} }, { signal: stop.signal });
  // An error in the listener would be uncaught, and fail the test.
  stop.abort();
  await new Promise((resolve) => setTimeout(resolve, 0));
});
