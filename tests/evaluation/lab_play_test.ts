import assert from "node:assert/strict";
import { UsageError } from "../../base/mod.ts";
import { type Connection, readConnections } from "../../capture/mod.ts";
import { playOverLab } from "../../evaluation/mod.ts";
import { missingFor } from "../../lab/needs.ts";
import { SERVER_ADDRESS } from "../../lab/network.ts";
import { inFolder } from "../support/folder.ts";

const CASES = [
  { model: "https", port: 443, handshake: "tls", programs: ["nginx", "openssl"] },
  { model: "smtp", port: 25, handshake: "smtp-starttls", programs: ["postfix", "openssl"] },
  { model: "ssh", port: 22, handshake: "ssh", programs: ["ssh", "sshd", "setpriv"] },
];
const CONNECTIONS = 3;

for (const { model, port, handshake, programs } of CASES) {
  const missing = await missingFor([], programs);
  const why = missing.length > 0 ? ` (ignored: ${missing[0]})` : "";
  Deno.test({
    name: `privileged: cover of ${model} is recorded with the genuine programs around it${why}`,
    ignore: missing.length > 0,
    fn: () =>
      inFolder(async (folder) => {
        const own = `${folder}/play`;
        await Deno.mkdir(own);
        const played = await playOverLab({
          model,
          carrier: model === "https" ? "fronted" : "own",
          payload: new Uint8Array(2000),
          sessions: 4,
          connections: CONNECTIONS,
          seed: "carrier",
          patience: 60_000,
          folder: own,
          out: `${folder}/cover.pcap`,
        });
        assert.equal(played.carrier, model === "https" ? "fronted" : model);
        assert.ok(played.up.sha256Match && played.down.sha256Match);
        const found: Connection[] = [];
        await readConnections(played.capture, { onConnection: (one) => found.push(one) });
        assert.equal(played.recorded, CONNECTIONS);
        assert.equal(found.length, played.recorded - played.unfinished);
        assert.ok(found.length > 0);
        for (const connection of found) {
          assert.equal(connection.serverAddress, SERVER_ADDRESS);
          assert.equal(connection.serverPort, port);
          assert.equal(connection.handshake.carrier, handshake);
          assert.equal(connection.handshake.end, "observed");
          assert.equal(connection.start, "syn");
          assert.ok(["fin", "rst"].includes(connection.end.how));
        }
      }),
  });
}

Deno.test("a carrier that the laboratory does not know is refused before anything starts", () =>
  inFolder(async (folder) => {
    const file = new URL("../../models/learned/https.json", import.meta.url);
    const model = JSON.parse(await Deno.readTextFile(file));
    await Deno.writeTextFile(
      `${folder}/model.json`,
      JSON.stringify({ ...model, carrier: "imap" }),
    );
    await assert.rejects(
      playOverLab({
        model: `${folder}/model.json`,
        carrier: "own",
        payload: new Uint8Array(1),
        sessions: 1,
        connections: 1,
        seed: "1",
        patience: 1000,
        folder,
        out: `${folder}/cover.pcap`,
      }),
      (error) => error instanceof UsageError && /carrier imap/.test(error.message),
    );
  }));
