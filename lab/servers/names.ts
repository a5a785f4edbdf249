import { type AppsNetwork, NAME_SERVER } from "../apps/network.ts";
import type { Origin } from "../apps/applications.ts";

/** Starts a name server outside that knows `origins`, and nothing else. */
export async function startNameServer(
  network: AppsNetwork,
  folder: string,
  origins: readonly Origin[],
): Promise<void> {
  const path = `${folder}/names.conf`;
  await Deno.writeTextFile(
    path,
    [
      ...["no-hosts", "no-resolv", "bind-interfaces", `listen-address=${NAME_SERVER}`],
      ...["local=/test/", "local-ttl=120", "keep-in-foreground"],
      ...origins.map(({ name, address }) => `host-record=${name},${address}`),
      "",
    ].join("\n"),
  );
  network.start(network.outside, ["dnsmasq", `--conf-file=${path}`]);
  await network.listening(53);
}
