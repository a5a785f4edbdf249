import assert from "node:assert/strict";
import fc from "fast-check";
import { seededRandom } from "../../lab/random.ts";
import {
  base64Lines,
  logNormal,
  prose,
  weighted,
  wholeLogNormal,
} from "../../lab/workload/distribution.ts";
import { contentOf, htmlOf, pagesOf, webWorkload } from "../../lab/workload/https.ts";
import { mailWorkload } from "../../lab/workload/smtp.ts";
import { sshWorkload } from "../../lab/workload/ssh.ts";

const GENERATORS = { https: webWorkload, ssh: sshWorkload, smtp: mailWorkload };

/** The quantiles of `values`, by share. */
function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))]!;
}

for (const [name, generate] of Object.entries(GENERATORS)) {
  Deno.test(`${name}: a seed draws one workload, another seed another`, () => {
    const draw = (seed: string) => generate(seededRandom("run", name, seed), 6);
    assert.deepEqual(draw("a"), draw("a"));
    assert.notDeepEqual(draw("a"), draw("b"));
  });
}

Deno.test("a log-normal draw has its median and its bounds", () => {
  const random = seededRandom("shape");
  const shape = { median: 8000, sigma: 1.3, min: 300, max: 300_000 };
  const values = Array.from({ length: 20_000 }, () => logNormal(random, shape));
  assert.ok(Math.abs(quantile(values, 0.5) / 8000 - 1) < 0.05);
  // One standard deviation above the median in the logarithm.
  assert.ok(Math.abs(Math.log(quantile(values, 0.8413) / 8000) / 1.3 - 1) < 0.05);
  assert.ok(values.every((value) => value >= 300 && value <= 300_000));
});

Deno.test("weights decide how often a kind is drawn", () => {
  const random = seededRandom("weights");
  const counts = { a: 0, b: 0, never: 0 };
  for (let i = 0; i < 10_000; i++) counts[weighted(random, { a: 3, b: 1, never: 0 })]++;
  assert.ok(Math.abs(counts.a / 10_000 - 0.75) < 0.02);
  assert.equal(counts.never, 0);
});

Deno.test("integers are uniform within their bound", () => {
  fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, bound) => {
    const value = seededRandom(seed).integer(bound);
    assert.ok(Number.isInteger(value) && value >= 0 && value < bound);
  }));
});

Deno.test("made-up texts have the length asked for, and short lines", () => {
  fc.assert(fc.property(fc.string(), fc.integer({ min: 1, max: 5000 }), (seed, bytes) => {
    for (const make of [prose, base64Lines]) {
      const text = make(seededRandom(seed), bytes);
      assert.equal(text.length, bytes);
      assert.equal(text.at(-1), "\n");
      assert.ok(text.split("\n").every((line) => line.length <= 100));
    }
  }));
});

Deno.test("https: pages are as heavy-tailed as the web's, and end within the bounds", () => {
  const pages = pagesOf(webWorkload(seededRandom("web"), 300));
  const counts = pages.map(({ objects }) => objects.length);
  assert.ok(counts.every((count) => count >= 4 && count <= 40));
  assert.ok(quantile(counts, 0.5) >= 8 && quantile(counts, 0.5) <= 14);
  const sizes = pages.flatMap(({ objects }) => objects.map(({ size }) => size));
  assert.ok(sizes.every((size) => size <= 300_000));
  assert.ok(quantile(sizes, 0.5) > 6000 && quantile(sizes, 0.5) < 12_000);
  // A tenth of the objects carries most of the bytes.
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const largest = sizes.toSorted((a, b) => b - a).slice(0, sizes.length / 10);
  assert.ok(largest.reduce((sum, size) => sum + size, 0) > total * 0.4);
  const uploads = pages.flatMap(({ calls }) => calls).filter(({ upload }) => upload >= 1000);
  assert.ok(uploads.length > 50 && uploads.every(({ upload }) => upload <= 40_000));
  assert.ok(pages.every(({ read }) => read >= 800 && read <= 3500));
});

Deno.test("https: no two things share a path, and a page names all it is made of", () => {
  const pages = pagesOf(webWorkload(seededRandom("paths"), 50));
  const paths = pages.flatMap((page) => [
    page.path,
    ...page.objects.map(({ path }) => path.replace(/\?.*/, "")),
    ...page.calls.map(({ path }) => path),
  ]);
  assert.equal(new Set(paths).size, paths.length);
  for (const page of pages) {
    const html = htmlOf(page);
    assert.ok(html.length >= page.size);
    // A script that does not parse would make no calls, and nobody would notice.
    assert.doesNotThrow(() => new Function(/<script>(.*?)<\/script>/.exec(html)![1]!));
    for (const { path } of page.objects) assert.ok(html.includes(path));
    for (const { path } of page.calls) assert.ok(html.includes(path));
  }
  for (const object of pages.flatMap(({ objects }) => objects)) {
    assert.equal(contentOf(object).length, object.size);
  }
});

Deno.test("ssh: every session is typed and left, every copy names a file that is there", () => {
  const { users, serverFiles, clientFiles } = sshWorkload(seededRandom("work"), 60);
  const kinds = new Set<string>();
  for (const { task } of users.flatMap(({ tasks }) => tasks)) {
    kinds.add(task.kind);
    if (task.kind === "shell") {
      const typed = task.keys.map(({ text }) => text).join("").replaceAll(/[a-z0-9]\u{7f}/gu, "");
      assert.ok(typed.endsWith("\x04") || typed.endsWith("exit\r"), typed);
      const lasts = task.keys.reduce((sum, { after }) => sum + after, 0);
      assert.ok(lasts > 500 && lasts < 25_000, `${lasts} ms`);
    } else if (task.kind === "copy") {
      assert.ok(task.transfers.length > 0);
      for (const { direction, file } of task.transfers) {
        assert.ok((direction === "up" ? clientFiles : serverFiles).has(file));
      }
    }
  }
  assert.deepEqual([...kinds].sort(), ["command", "copy", "shell"]);
  for (const text of clientFiles.values()) {
    assert.ok(text.length >= 5000 && text.length <= 500_000);
  }
});

Deno.test("smtp: mails have bounds, names of examples only, and every program has its turn", () => {
  const tasks = mailWorkload(seededRandom("mail"), 80).flatMap((sender) => sender.tasks);
  const programs = new Set(tasks.map(({ task }) => task.program));
  assert.deepEqual([...programs].sort(), ["curl", "postfix", "swaks"]);
  for (const { task: { program, mails } } of tasks) {
    assert.ok(mails.length >= 1 && mails.length <= (program === "swaks" ? 1 : 5));
    for (const { from, to, text } of mails) {
      for (const address of [from, ...to]) assert.match(address, /@example\.(com|net)$/);
      assert.ok(text.length > 700 && text.length < 310_000);
      // A line of a lone dot would end the mail early.
      assert.ok(!text.split("\n").includes("."));
      assert.ok(text.split("\n").every((line) => line.length < 998));
    }
  }
});

Deno.test("sizes are whole numbers", () => {
  const random = seededRandom("whole");
  const shape = { median: 10, sigma: 1, min: 1, max: 100 };
  for (let i = 0; i < 1000; i++) assert.ok(Number.isInteger(wholeLogNormal(random, shape)));
});
