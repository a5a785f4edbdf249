/** Runs in a network namespace of its own: which source addresses a client connects from. */
import { CLIENT, connectRequest, PtProcess, serveTcp, Wire } from "./harness.ts";

const seen: string[] = [];
for (const host of ["198.51.100.1", "2001:db8::1", "127.0.0.1", "::1"]) {
  await using process = await PtProcess.start({
    ...CLIENT,
    TOR_PT_CLIENT_TRANSPORTS: "rot",
    TOR_PT_OUTBOUND_BIND_ADDRESS_V4: "198.51.100.2",
    TOR_PT_OUTBOUND_BIND_ADDRESS_V6: "[2001:db8::2]",
  });
  const method = await process.method();
  const { promise, resolve } = Promise.withResolvers<string>();
  await using server = await serveTcp((wire) => resolve(wire.socket.remoteAddress!), host);
  using wire = await Wire.open(method.host, method.port);
  const request = connectRequest(host === "2001:db8::1" ? "::1" : host, server.port);
  if (host === "2001:db8::1") request.splice(4, 4, 0x20, 1, 0xd, 0xb8);
  wire.send([5, 1, 0, ...request]);
  if ((await wire.read(12))[3] !== 0) throw new Error(`no connection to ${host}`);
  seen.push(await promise);
}
await Deno.stdout.write(new TextEncoder().encode(seen.join(" ")));
