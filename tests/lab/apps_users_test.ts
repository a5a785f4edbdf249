import assert from "node:assert/strict";
import type { Browser } from "playwright-core";
import { type Application, APPLICATIONS, ORIGINS } from "../../lab/apps/applications.ts";
import { use } from "../../lab/apps/visitor.ts";

const names = new Set(ORIGINS.map(({ name }) => name));

/** A browser that does nothing but note what it is told, and time that passes when somebody waits. */
function stage() {
  let now = 0;
  let open = 0;
  const said: string[] = [];
  const note = (text: string, result: unknown = undefined) => {
    said.push(text);
    now += 150; // even what is at once takes some time
    return Promise.resolve(result);
  };
  const page = {
    goto: (url: string) => note(url),
    evaluate: (code: string) => note(code, 24),
    close: () => note("close"),
    mouse: { wheel: () => note("wheel") },
  };
  const browser = {
    isConnected: () => true,
    newContext: () => {
      open++;
      return Promise.resolve({
        newPage: () => Promise.resolve(page),
        close: () => Promise.resolve(void open--),
      });
    },
  } as unknown as Browser;
  const clock = {
    now: () => now,
    sleep: (milliseconds: number) => {
      now += milliseconds;
      return Promise.resolve();
    },
  };
  return { browser, clock, said, windows: () => open };
}

async function play(application: Application, seed: string, minutes = 10) {
  const { browser, clock, said, windows } = stage();
  const media = { films: 3, clips: 2 };
  const milliseconds = minutes * 60_000;
  const settings = { application, seed, milliseconds, media, chromium: "" };
  const did = await use(settings, browser, clock);
  return { did, said, end: clock.now(), windows: windows(), milliseconds };
}

for (const application of APPLICATIONS) {
  Deno.test(`apps: ${application} is used as drawn, to the end of its time, at hosts that there are`, async () => {
    const one = await play(application, "a");
    assert.deepEqual(await play(application, "a"), one);
    const other = await play(application, "b");
    assert.notDeepEqual(other.said.slice(0, 20), one.said.slice(0, 20));
    for (const { said, end, windows, milliseconds, did } of [one, other]) {
      assert.equal(windows, 0, "a window stays open");
      assert.ok(end >= milliseconds && end < milliseconds + 10_000, `${end}`);
      assert.ok(said.length > 100, `only ${said.length} things in ten minutes`);
      assert.equal(did.failed, undefined);
      for (const text of said) {
        for (const [, host] of text.matchAll(/(?:https|wss):\/\/([a-z0-9.]+)\//g)) {
          assert.ok(names.has(host!), host);
        }
        for (const [, bytes] of text.matchAll(/\/o\/(\d+)\//g)) {
          assert.ok(Number(bytes) < 1_000_000);
        }
      }
    }
  });
}
