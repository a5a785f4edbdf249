import { browseAll } from "./clients/browser.ts";
import type { Stage, Workload } from "./record.ts";
import { startNginx } from "./servers/nginx.ts";
import { webWorkload } from "./workload/https.ts";

/** nginx with an application behind it, and people with a browser. */
export async function recordHttps(stage: Stage): Promise<Workload> {
  const users = webWorkload(stage.random, stage.users?.length);
  await startNginx(stage.network, stage.folder, users);
  return {
    play: async () => ({
      pages: await browseAll(stage, users),
    }),
  };
}
