import assert from "node:assert/strict";
import { SeededRandom } from "../../models/random.ts";
import { makeIdentity } from "../../transports/carriers/certificate.ts";
import { openSslFunctions } from "../../transports/carriers/openssl_library.ts";
import { TlsContext } from "../../transports/carriers/openssl_tls.ts";
import { FLIGHTS, Fuzzer } from "./openssl_fuzz.ts";

const ignore = openSslFunctions() === undefined;

Deno.test({
  name:
    "openssl: thousands of connections with damaged flights: refused or whole, and nothing else",
  ignore,
  fn: async () => {
    const identity = await makeIdentity("fuzz");
    const servers = [
      TlsContext.server({ ...identity, alpn: ["http/1.1"] }),
      TlsContext.server({ ...identity, alpn: ["http/1.1"], exposed: true }),
      TlsContext.server(identity),
    ];
    for (const [index, server] of servers.entries()) {
      const key = new Uint8Array(32).fill(index + 1);
      const client = TlsContext.client(index === 2 ? "swaks" : "curl");
      const fuzzer = new Fuzzer(new SeededRandom(key), client, server);
      for (let rounds = 0; rounds < 1500; rounds++) fuzzer.round();
      assert.ok(fuzzer.found.every((count) => count > 10), `found: ${fuzzer.found}`);
      assert.ok(fuzzer.whole[FLIGHTS]! > 10, `whole: ${fuzzer.whole}`);
    }
  },
});

Deno.test({
  name: "openssl: damaged flights between sockets whose listeners do what they like at any time",
  ignore,
  fn: async () => {
    const identity = await makeIdentity("fuzz");
    const server = TlsContext.server({ ...identity, alpn: ["http/1.1"] });
    const random = new SeededRandom(new Uint8Array(32).fill(9));
    const fuzzer = new Fuzzer(random, TlsContext.client("curl"), server);
    for (let rounds = 0; rounds < 800; rounds++) await fuzzer.sockets();
  },
});
