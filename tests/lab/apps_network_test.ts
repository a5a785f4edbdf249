import assert from "node:assert/strict";
import { ORIGINS } from "../../lab/apps/applications.ts";
import { AppsNetwork, LAN_DEVICE } from "../../lab/apps/network.ts";
import { LAB_LINK } from "../../lab/link_profile.ts";
import { missingFor } from "../../lab/needs.ts";
import { run } from "../../lab/process.ts";
import { startNameServer } from "../../lab/servers/names.ts";
import { startWebFarm } from "../../lab/servers/web_farm.ts";

const missing = await missingFor([], ["curl", "dnsmasq", "nft", "nginx", "openssl", "udhcpc"]);
const why = missing.length > 0 ? ` (ignored: ${missing[0]})` : "";

Deno.test({
  name: `apps: clients behind the gateway reach named hosts, and nothing is left behind${why}`,
  ignore: missing.length > 0,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    await Deno.chmod(folder, 0o711);
    let names: string[] = [];
    try {
      await Deno.mkdir(`${folder}/media`);
      await Deno.writeTextFile(`${folder}/media/clip0.mp4`, "y".repeat(30_000));
      await using network = await AppsNetwork.up({
        link: LAB_LINK,
        outside: ORIGINS.map(({ address }) => address),
        clients: ["game", "news"],
        folder,
      });
      names = [network.gateway, network.outside, network.client("game"), network.client("news")];
      await startWebFarm(network, folder, ORIGINS);
      await startNameServer(network, folder, ORIGINS);
      await network.setUpGateway();
      const addresses = [await network.lease("game"), await network.lease("news")];
      assert.notEqual(addresses[0], addresses[1]);
      for (const address of addresses) assert.match(address, /^192\.168\.12\.\d+$/);
      const get = (url: string) => {
        const argv = ["curl", "-sk", "-m", "8", "-w", " %{http_version} %{remote_ip}", url];
        return run(network.asClient("game", argv), 10_000);
      };
      // By HTTP/2 from one host and HTTP/1.1 from the next, each at its own address.
      const second = ORIGINS[1]!;
      const [one, two] = [
        await get(`https://${ORIGINS[0]!.name}/o/5000/0/a.js`),
        await get(`https://${second.name}/o/5000/0/a.js`),
      ];
      assert.ok(one.endsWith(` 2 ${ORIGINS[0]!.address}`), one.slice(-30));
      assert.ok(two.endsWith(` 1.1 ${second.address}`), two.slice(-30));
      assert.equal(one.indexOf(" "), 5000);
      const clip = await get("https://ads.test/media/clip0.mp4");
      assert.equal(clip.indexOf(" "), 30_000);
      const bridge = await run(
        network.in(network.gateway, ["ip", "-4", "addr", "show", LAN_DEVICE]),
      );
      assert.match(bridge, /192\.168\.12\.1\/24/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    const left = await run(["ip", "netns", "list"]);
    for (const name of names) assert.ok(!left.includes(name), `${name} was left behind`);
  },
});
