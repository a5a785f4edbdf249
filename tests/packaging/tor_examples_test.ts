import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parseLine } from "../../transports/mimic/line.ts";
import { formatSecret, newSecret } from "../../transports/mimic/proof.ts";

const folder = fileURLToPath(new URL("../../packaging/tor", import.meta.url));
const HAS_TOR = await new Deno.Command("tor", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);

/** An example with the parts that its reader has to fill in. */
async function filledIn(name: string): Promise<string> {
  return (await Deno.readTextFile(`${folder}/${name}`))
    .replace("cert=...", `cert=${formatSecret(newSecret())}`)
    .replace("secret=...", `secret=${formatSecret(newSecret())}`)
    .replace("digest=...", `digest=${"0".repeat(64)}`)
    .replace("<you@example.org>", "you@example.org");
}

/** The line for a tunnel in what follows the word `mimic` in a bridge line. */
const lineIn = (text: string) => /^(?:Bridge )?(mimic \S+) [0-9A-F]{40}( cert=.*)$/m.exec(text)!;

for (const name of ["torrc.client", "torrc.bridge"]) {
  Deno.test({
    name: `examples: tor takes ${name} without a warning${HAS_TOR ? "" : " (needs tor)"}`,
    ignore: !HAS_TOR,
    fn: async () => {
      const place = await Deno.makeTempDir();
      await Deno.writeTextFile(`${place}/torrc`, await filledIn(name));
      const { code, stdout } = await new Deno.Command("tor", {
        args: [
          ...["--verify-config", "--hush", "-f", `${place}/torrc`, "--defaults-torrc", "/dev/null"],
          ...["--DataDirectory", `${place}/data`],
        ],
        stderr: "null",
      }).output();
      const said = new TextDecoder().decode(stdout).split("\n")
        .filter((line) => line !== "" && !/running Tor as root/.test(line));
      assert.deepEqual([said, code], [[], 0]);
      await Deno.remove(place, { recursive: true });
    },
  });
}

Deno.test("examples: the bridge lines of client and Arti are lines of ours", async () => {
  for (const name of ["torrc.client", "arti.toml"]) {
    const [, method, args] = lineIn(await filledIn(name));
    assert.equal(parseLine(`${method}${args}`).address.port, 443, name);
  }
});

Deno.test("examples: Arti starts the installed launcher for our method", async () => {
  // Arti is not here to read it: its text only.
  const text = await Deno.readTextFile(`${folder}/arti.toml`);
  assert.match(text, /^\[bridges\]\nenabled = true\nbridges = '''\nmimic [^\n]*\n'''\n/m);
  assert.match(
    text,
    /^\[\[bridges\.transports\]\]\nprotocols = \["mimic"\]\npath = "\/usr\/local\/bin\/trafficmimic"\narguments = \["pt"\]\n/m,
  );
});
