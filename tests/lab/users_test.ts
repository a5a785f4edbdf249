import assert from "node:assert/strict";
import fc from "fast-check";
import { missingFor } from "../../lab/needs.ts";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { denoCache, LabNetwork, MOST_USERS, userEnds } from "../../lab/network.ts";
import { seededRandom } from "../../lab/random.ts";
import { webWorkload } from "../../lab/workload/https.ts";
import { THINGS, userPauses } from "../../lab/workload/pauses.ts";
import { mailWorkload } from "../../lab/workload/smtp.ts";
import { sshWorkload } from "../../lab/workload/ssh.ts";
import { EPISODE_TIMEOUT, SESSION_TIMEOUT } from "../../models/learn/mod.ts";

const missing = await missingFor([]);
const why = missing.length > 0 ? ` (ignored: ${missing[0]})` : "";
const PORT = 4322;

Deno.test("users pause as drawn: within an episode, within a session, and for longer", () => {
  const all = Array.from({ length: 60 }, (_, user) => userPauses(seededRandom("pauses", user)));
  assert.deepEqual(all[0], userPauses(seededRandom("pauses", 0)));
  assert.notDeepEqual(all[0], all[1]);
  const between = all.flatMap(([, ...rest]) => rest);
  assert.equal(between.length, 60 * (THINGS - 1));
  const share = (from: number, to: number) =>
    between.filter((pause) => pause > from && pause <= to).length / between.length;
  assert.ok(Math.abs(share(0, EPISODE_TIMEOUT) - 0.3) < 0.06);
  assert.ok(Math.abs(share(EPISODE_TIMEOUT, SESSION_TIMEOUT) - 0.4) < 0.06);
  assert.ok(Math.abs(share(SESSION_TIMEOUT, Infinity) - 0.3) < 0.06);
  // Nobody is just short of a limit that an activity of a few seconds would carry across.
  assert.equal(share(15_000, 34_999) + share(285_000, 309_999), 0);
});

Deno.test("each workload has as many people as are asked for, each with pauses of their own", () => {
  const random = () => seededRandom("people");
  const starts = [
    webWorkload(random(), 11).map(({ visits }) => visits.map(({ after }) => after)),
    sshWorkload(random(), 11).users.map(({ tasks }) => tasks.map(({ after }) => after)),
    mailWorkload(random(), 11).map(({ tasks }) => tasks.map(({ after }) => after)),
  ];
  for (const people of starts) {
    assert.equal(people.length, 11);
    assert.ok(people.every((pauses) => pauses.length === THINGS));
    assert.equal(new Set(people.map(([first]) => first)).size, 11);
    assert.ok(people.flat().some((pause) => pause > SESSION_TIMEOUT));
  }
});

Deno.test("no two users share an address, and none is another network's or an end's", () => {
  const user = fc.integer({ min: 0, max: MOST_USERS - 1 });
  fc.assert(fc.property(user, user, (a, b) => {
    const addresses = [userEnds(a), userEnds(b)].flatMap(({ client, server }) => [client, server]);
    assert.equal(new Set(addresses).size, a === b ? 2 : 4);
    for (const address of addresses) {
      const last = Number(/^10\.99\.0\.(\d+)$/.exec(address)![1]);
      assert.ok(last > 2 && last < 255);
    }
  }));
});

Deno.test({
  name: `privileged: the server sees each user under an address of their own${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    await using network = await LabNetwork.up({ link: LAB_LINK, users: 3 });
    const deno = (code: string) => [Deno.execPath(), "eval", "--quiet", code];
    const options = { env: denoCache() };
    const server = network.start(
      "server",
      deno(`for await (const one of Deno.listen({ hostname: "0.0.0.0", port: ${PORT} })) {
        console.log(one.remoteAddr.hostname, one.localAddr.hostname); one.close();
      }`),
      options,
    );
    await network.listening(PORT);
    const hosts = network.users.map((ends) => ends.server);
    const client = network.start(
      "client",
      deno(`for (const hostname of ${JSON.stringify(hosts)}) {
        const one = await Deno.connect({ hostname, port: ${PORT} });
        await one.read(new Uint8Array(1)); one.close();
      }`),
      options,
    );
    assert.equal((await client.ended(20_000)).code, 0, client.errors);
    assert.deepEqual(
      server.output.trim().split("\n"),
      network.users.map(({ client, server }) => `${client} ${server}`),
    );
  },
});
