import assert from "node:assert/strict";
import { ListenError } from "../../base/mod.ts";
import { connectTls, listenTls } from "../../transports/carriers/tls.ts";
import type { CarrierConnection } from "../../transports/carriers/carrier.ts";
import { makeIdentity } from "../../transports/carriers/certificate.ts";
import { ConnectError, WrongCertificate } from "../../transports/carriers/errors.ts";
import { denoTls } from "../../transports/carriers/tls_deno.ts";
import type { TlsEngine } from "../../transports/carriers/tls_engine.ts";
import { openSslServer } from "../../transports/carriers/tls_openssl.ts";
import { Collector } from "./helpers.ts";

const identity = await makeIdentity("web");

const openSsl = openSslServer(["http/1.1"]);
const ENGINES = [denoTls, ...(openSsl === undefined ? [] : [openSsl])];

async function pair(
  engines: { client: TlsEngine; server: TlsEngine },
  options: { alpn?: string[]; offered?: string[] } = {},
): Promise<{ client: CarrierConnection; server: CarrierConnection; stop: () => Promise<void> }> {
  const accepted = Promise.withResolvers<CarrierConnection>();
  const listening = await listenTls(
    { hostname: "127.0.0.1", port: 0, identity, alpn: options.alpn, engine: engines.server },
    accepted.resolve,
  );
  const client = await connectTls({
    hostname: "127.0.0.1",
    port: listening.port,
    pin: identity.pin,
    alpn: options.offered,
    engine: engines.client,
  });
  return { client, server: await accepted.promise, stop: listening.close };
}

for (const client of ENGINES) {
  for (const server of ENGINES) {
    const which = `${client.name} to ${server.name}`;
    const engines = { client, server };
    tests(which, engines);
  }
}

function tests(which: string, engines: { client: TlsEngine; server: TlsEngine }): void {
  Deno.test(`tls (${which}): bytes both ways, half close, and both ends agree on the certificate`, async () => {
    const { client, server, stop } = await pair(engines);
    const [atClient, atServer] = [new Collector(client), new Collector(server)];
    assert.deepEqual(client.certificateDigest, server.certificateDigest);
    assert.deepEqual(client.certificateDigest, identity.digest);
    assert.equal(client.localPort, server.remotePort);
    const sent = new Uint8Array(200_000);
    for (let i = 0; i < sent.length; i++) sent[i] = i * 31 >>> 3;
    for (let at = 0; at < sent.length; at += 10_000) client.write(sent.subarray(at, at + 10_000));
    client.close("fin");
    client.write(new Uint8Array(5));
    assert.equal(await atServer.closed, "fin");
    assert.deepEqual(atServer.bytes(), sent);
    server.write(new TextEncoder().encode("after the client's end"));
    server.close("fin");
    assert.equal(await atClient.closed, "fin");
    assert.equal(new TextDecoder().decode(atClient.bytes()), "after the client's end");
    await stop();
  });

  Deno.test(`tls (${which}): bytes that came before the listener are kept, and bytes can be given back`, async () => {
    const { client, server, stop } = await pair(engines);
    client.write(new TextEncoder().encode("early"));
    client.close("fin");
    await new Promise((resolve) => setTimeout(resolve, 20));
    const first = new Collector(server);
    assert.equal(new TextDecoder().decode(await first.waitFor(5)), "early");
    server.listener = undefined;
    server.unread(new TextEncoder().encode("arly"));
    const second = new Collector(server);
    assert.equal(new TextDecoder().decode(await second.waitFor(4)), "arly");
    new Collector(client);
    server.close("fin");
    await stop();
  });

  Deno.test(`tls (${which}): a reset reaches the peer at once and drops what was queued`, async () => {
    const { client, server, stop } = await pair(engines);
    const [atClient, atServer] = [new Collector(client), new Collector(server)];
    client.write(new Uint8Array(3));
    await atServer.waitFor(3);
    server.close("rst");
    assert.equal(await atClient.closed, "rst");
    assert.equal(await atServer.closed, "rst");
    assert.equal(server.queued, 0);
    client.write(new Uint8Array(9));
    client.close("rst");
    await stop();
  });

  Deno.test(`tls (${which}): another public key is refused before a byte is sent`, async () => {
    let got = 0;
    const listening = await listenTls(
      { hostname: "127.0.0.1", port: 0, identity, engine: engines.server },
      (connection) => {
        connection.listener = {
          onData: (bytes) => got += bytes.length,
          onClose: () => connection.close("fin"),
        };
      },
    );
    const other = await makeIdentity("web");
    await assert.rejects(
      connectTls({
        engine: engines.client,
        hostname: "127.0.0.1",
        port: listening.port,
        pin: other.pin,
      }),
      WrongCertificate,
    );
    await assert.rejects(
      connectTls({ engine: engines.client, hostname: "127.0.0.1", port: listening.port }),
      ConnectError,
    );
    await listening.close();
    assert.equal(got, 0);
  });

  Deno.test(`tls (${which}): a busy port and a dead one are told in one line`, async () => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const port = taken.addr.port;
    await assert.rejects(
      listenTls({ hostname: "127.0.0.1", port, identity, engine: engines.server }, () => {}),
      (error: Error) => {
        assert.ok(error instanceof ListenError);
        assert.equal(
          error.message,
          `cannot listen on 127.0.0.1:${port}: it is in use: choose another with --listen`,
        );
        return true;
      },
    );
    taken.close();
    await assert.rejects(
      connectTls({ engine: engines.client, hostname: "127.0.0.1", port, pin: identity.pin }),
      (error: Error) => error instanceof ConnectError && error.message.endsWith("refused"),
    );
  });

  Deno.test(`tls (${which}): what is not TLS is turned away and leaves nothing behind`, async () => {
    let connections = 0;
    const listening = await listenTls(
      { hostname: "127.0.0.1", port: 0, identity, engine: engines.server },
      () => connections++,
    );
    for (const text of ["GET / HTTP/1.0\r\n\r\n", "", "\x16\x03\x01"]) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: listening.port });
      await conn.write(new TextEncoder().encode(text));
      if (text === "GET / HTTP/1.0\r\n\r\n") {
        const buffer = new Uint8Array(64);
        while (await conn.read(buffer).catch(() => null) !== null);
      }
      conn.close();
    }
    await listening.close();
    assert.equal(connections, 0);
  });

  Deno.test(`tls (${which}): application protocols are negotiated`, async () => {
    const { client, server, stop } = await pair(engines, {
      alpn: ["h2", "http/1.1"],
      offered: ["http/1.1"],
    });
    new Collector(client);
    new Collector(server);
    client.close("fin");
    server.close("fin");
    await stop();
    await assert.rejects(pair(engines, { alpn: ["h2"], offered: ["smtp"] }), ConnectError);
  });
}
