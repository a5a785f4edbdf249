import assert from "node:assert/strict";
import { main } from "../../cli/main.ts";
import type { EvaluationResult } from "../../report/evaluation_result.ts";
import { withMadeCaptures } from "./made_captures.ts";

Deno.test("evaluate: report, tables and JSON from one command; nothing is done twice; wrong usage is one line", async () => {
  await withMadeCaptures(async (folder) => {
    const out = `${folder}/results`;
    const args = [
      ...["evaluate", "--quick", "--out", out, "--model", "constant-rate"],
      ...["--real", `https=${folder}/typing`, "--learned", `https=${folder}/browsing`],
    ];
    assert.equal(await main(args), 0);
    const result: EvaluationResult = JSON.parse(await Deno.readTextFile(`${out}/result.json`));
    assert.deepEqual(result.sections.map(({ title }) => title), [
      "The seed's section 3: attacks",
      "The seed's figure 1: bandwidth and overhead",
      "Today's attackers",
      "Fidelity, variable by variable",
      "Playback under loss, jitter and a rate drop",
      "What schedules reveal: demand and adaptive against strict",
    ]);
    const [, , modern] = result.sections;
    // Constant rate is found by every attacker, and the report says that it had to be.
    assert.equal(modern!.facts![0]!.good, true);
    const html = await Deno.readTextFile(`${out}/report.html`);
    assert.ok(html.includes("Canada–UK") && html.includes("simulated"));
    const files = async () =>
      (await Array.fromAsync(Deno.readDir(`${out}/experiments`))).map(({ name }) => name).sort();
    const before = await files();
    assert.ok(before.length > 15 && before.every((name) => name.endsWith(".json")));
    const times = async () =>
      await Promise.all(
        before.map(async (name) => (await Deno.stat(`${out}/experiments/${name}`)).mtime),
      );
    const written = await times();
    assert.equal(await main(args), 0);
    assert.deepEqual(await files(), before);
    assert.deepEqual(await times(), written);
    assert.equal(await main([...args, "--cover", `https=${folder}/typing`]), 2);
    assert.equal(await main(["evaluate", "--real", "x.pcap"]), 2);
  });
});
