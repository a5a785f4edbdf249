import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { makeIdentity } from "../../transports/carriers/mod.ts";

const HAS_SSH = await Deno.stat("/usr/bin/ssh").then(() => true, () => false);

Deno.test({
  name: "client:ssh: SIGTERM before the server is reached leaves no key behind (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const { digest } = await makeIdentity("a.example");
    const pin = createHash("sha256").update(digest).digest("base64url");
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...[
          "run",
          "--no-prompt",
          "--no-check",
          "--quiet",
          "--allow-run=/usr/bin/ssh",
          "--allow-net",
        ],
        ...["--allow-read", "--allow-write", "--allow-env=NO_COLOR,FORCE_COLOR,CLICOLOR_FORCE"],
        ...["cli/main.ts", "client:ssh", "--socks", "127.0.0.1:0"],
        // Nothing listens on port 1.
        `mimic 127.0.0.1:1 cert=${pin} secret=${pin} model=ssh carrier=ssh`,
      ],
      cwd: new URL("../../", import.meta.url),
      env: { NO_COLOR: "1", TMPDIR: folder },
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let said = "";
    while (!said.includes("trying again")) {
      const { done, value } = await reader.read();
      assert.ok(!done, said);
      said += value;
    }
    assert.equal([...Deno.readDirSync(folder)].length, 1);
    child.kill("SIGTERM");
    for (let got = await reader.read(); !got.done; got = await reader.read()) said += got.value;
    assert.equal((await child.status).code, 1);
    assert.match(said, /error: asked to end before the server had proved itself/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    await Deno.remove(folder);
  },
});
