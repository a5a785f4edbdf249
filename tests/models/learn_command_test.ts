import assert from "node:assert/strict";
import { modelFromFile } from "../../models/registry.ts";
import { splitByDirection, writeMadeCapture } from "./made_capture.ts";
import { inFolder } from "../support/folder.ts";
import { runDeno } from "../support/run_deno.ts";

/** Runs `deno task learn` with the task's own permissions. */
function learn(args: string[], input?: Uint8Array) {
  const flags = ["run", "--no-prompt", "--allow-read", "--allow-write"];
  return runDeno(
    [...flags, "cli/main.ts", "learn", ...args],
    input === undefined ? {} : { input },
  );
}

async function names(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(folder)) found.push(name);
  return found.sort();
}

Deno.test("learn makes the same model of a file, its gzip and standard input", () =>
  inFolder(async (folder) => {
    const capture = `${folder}/run.pcapng`;
    await writeMadeCapture(capture, 12, 3);
    const first = await learn([capture, "--protocol", "ssh", "--out", `${folder}/a.json`]);
    assert.equal(first.code, 0, first.err);
    assert.equal(first.err, "", "quiet in a pipe");
    assert.match(first.out, /used +│ +12/);
    assert.match(first.out, /left out: another protocol +│ +3/);
    assert.match(first.out, /not in the model: episodes, sessions/);
    const bytes = await Deno.readFile(capture);
    const zipped = new Response(
      new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")),
    );
    await Deno.writeFile(`${folder}/run.pcapng.gz`, await zipped.bytes());
    const runs = [
      await learn([`${folder}/run.pcapng.gz`, "--protocol", "ssh", "--out", `${folder}/b.json`]),
      await learn(["-", "--protocol", "ssh", "--out", `${folder}/c.json`], bytes),
    ];
    for (const { code, err } of runs) assert.equal(code, 0, err);
    const contents = await Promise.all(
      ["a", "b", "c"].map(async (name) => {
        const text = await Deno.readTextFile(`${folder}/${name}.json`);
        assert.equal(modelFromFile(text).description.carrier, "ssh");
        return JSON.parse(text).content;
      }),
    );
    assert.deepEqual(contents[1], contents[0]);
    assert.deepEqual(contents[2], contents[0]);
  }));

Deno.test("learn --label-by port writes a model of each protocol found", () =>
  inFolder(async (folder) => {
    await writeMadeCapture(`${folder}/mixed.pcapng`, 6, 2);
    const args = [`${folder}/mixed.pcapng`, "--label-by", "port", "--model", "structural"];
    const { code, out, err } = await learn([...args, "--out", folder, "--json"]);
    assert.equal(code, 0, err);
    assert.deepEqual(await names(folder), ["mixed.pcapng", "ssh-structural.json"]);
    const { models, captures } = JSON.parse(out);
    assert.equal(captures[0].connections, 8);
    const ssh = models.find((model: { protocol: string }) => model.protocol === "ssh");
    assert.equal(ssh.connections, 6);
    assert.equal(ssh.path, `${folder}/ssh-structural.json`);
    const https = models.find((model: { protocol: string }) => model.protocol === "https");
    assert.equal(https.connections, 0);
  }));

Deno.test("learn --merge reads one direction a file as the trace it was", () =>
  inFolder(async (folder) => {
    await writeMadeCapture(`${folder}/whole.pcapng`, 12, 0);
    const sides = [`${folder}/there.pcapng`, `${folder}/back.pcapng`];
    await splitByDirection(`${folder}/whole.pcapng`, sides[0]!, sides[1]!);
    const content = async (files: string[], ...options: string[]) => {
      const model = `${folder}/model.json`;
      const { code, err } = await learn([
        ...files,
        ...options,
        "--protocol=ssh",
        `--out=${model}`,
      ]);
      assert.equal(code, 0, err);
      return JSON.parse(await Deno.readTextFile(model)).content;
    };
    const whole = await content([`${folder}/whole.pcapng`]);
    assert.deepEqual(await content(sides, "--merge"), whole);
    const apart = await learn([...sides, "--protocol=ssh", `--out=${folder}/none.json`]);
    assert.equal(apart.code, 1);
    assert.match(apart.err, /^error: [^\n]*24 one direction only[^\n]*\n$/);
  }));

Deno.test("learn refuses bad input with one line and writes nothing", () =>
  inFolder(async (folder) => {
    await writeMadeCapture(`${folder}/web.pcapng`, 0, 2);
    await Deno.writeTextFile(`${folder}/notes.txt`, "not a capture");
    await Deno.writeTextFile(`${folder}/empty.pcap`, "");
    const out = ["--out", `${folder}/model.json`];
    const cases: [string[], number, RegExp][] = [
      [[`${folder}/web.pcapng`, "--protocol", "ssh", ...out], 1, /no usable ssh connection/],
      [[`${folder}/web.pcapng`, "--label-by", "port", ...out], 1, /no usable https or smtp or ssh/],
      [[`${folder}/notes.txt`, "--protocol", "ssh", ...out], 1, /notes\.txt/],
      [[`${folder}/empty.pcap`, "--protocol", "ssh", ...out], 1, /empty\.pcap/],
      [[`${folder}/none.pcap`, "--protocol", "ssh", ...out], 1, /none\.pcap: no such file/],
      [[folder, "--protocol", "ssh", ...out], 1, /is a folder/],
      [[`${folder}/web.pcapng`, ...out], 2, /--protocol is missing/],
      [[`${folder}/web.pcapng`, "--protocol", "gopher", ...out], 2, /Allowed choices are https/],
      [["-", "-", "--protocol", "ssh"], 2, /standard input/],
      [["--protocol", "ssh"], 2, /missing required argument/],
    ];
    const before = await names(folder);
    await Promise.all(cases.map(async ([args, expected, message]) => {
      const { code, err } = await learn(args);
      assert.match(err, message);
      assert.equal(code, expected, err);
      assert.match(err, /^error: [^\n]+\n$/);
    }));
    assert.deepEqual(await names(folder), before);
  }));
