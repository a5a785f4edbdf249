import assert from "node:assert/strict";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { launcherCases } from "../../packaging/build.ts";
import { withMadeCaptures } from "../evaluation/made_captures.ts";
import { FAST_MODEL_FILE } from "../transports/world.ts";
import { TextLineStream } from "../transports/text_lines.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
/** Whether a place without network and without the source can be made here. */
const CAN_HIDE = await works("unshare", "-mn", "true") && await works("ip", "-V") &&
  await works("nsenter", "--version");
const HAS_CURL = await works("curl", "--version");
const HAS_TCPDUMP = await works("tcpdump", "--version");
/** No HOME, no DENO_DIR: only where programs are. */
const BARE = { PATH: `${dirname(Deno.execPath())}:/usr/bin:/bin:/usr/sbin:/sbin`, NO_COLOR: "1" };

/** A place where the source is gone and there is no network but a loopback of its own. */
class Island implements AsyncDisposable {
  readonly #anchor: Deno.ChildProcess;
  readonly #running: { child: Deno.ChildProcess; said: Promise<string> }[] = [];

  private constructor(anchor: Deno.ChildProcess) {
    this.#anchor = anchor;
  }

  static async make(): Promise<Island> {
    const hide = 'mount -t tmpfs none "$1" && ip link set lo up && echo made && exec sleep 300';
    const anchor = new Deno.Command("unshare", {
      args: ["-mn", "sh", "-c", hide, "sh", root],
      stdout: "piped",
    }).spawn();
    const reader = anchor.stdout.getReader();
    const { value } = await reader.read();
    assert.equal(new TextDecoder().decode(value), "made\n");
    await reader.cancel();
    return new Island(anchor);
  }

  #command(words: string[], env: Record<string, string>): Deno.Command {
    return new Deno.Command("nsenter", {
      args: ["-t", String(this.#anchor.pid), "-m", "-n", "--wd=/", "--", ...words],
      clearEnv: true,
      env: { ...BARE, ...env },
      stdout: "piped",
      stderr: "piped",
    });
  }

  /** Runs a program to its end. */
  async run(words: string[], env: Record<string, string> = {}) {
    const { code, stdout, stderr } = await this.#command(words, env).output();
    const text = new TextDecoder();
    return { code, out: text.decode(stdout), err: text.decode(stderr) };
  }

  /** Starts a program; returns its first line. */
  async start(...words: string[]): Promise<string> {
    const child = this.#command(words, {}).spawn();
    const said = new Response(child.stderr).text();
    this.#running.push({ child, said });
    const reader = child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    const { value } = await reader.read();
    if (value === undefined) throw new Error(await said);
    await reader.cancel();
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, said } of this.#running.reverse()) {
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended already.
      }
      assert.equal(await said, "");
      await child.status;
    }
    this.#anchor.kill("SIGTERM");
    await this.#anchor.status;
  }
}

async function run(command: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  assert.equal(code, 0, text.decode(stderr));
  return text.decode(stdout);
}

Deno.test({
  name:
    "installed: without source, HOME, network and cache: a tunnel, attacks, the sandbox, the classifier",
  ignore: !CAN_HIDE || !HAS_CURL || !HAS_TCPDUMP,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    await run(Deno.execPath(), "task", "--quiet", "build", "--out", `${folder}/build`);
    await run("sh", `${folder}/build/install.sh`, "--prefix", `${folder}/usr`);
    await Deno.remove(`${folder}/build`, { recursive: true });
    const program = `${folder}/usr/bin/trafficmimic`;
    const model = `${folder}/fast.json`;
    await Deno.writeTextFile(model, FAST_MODEL_FILE);
    await t.step("licences come with it", async () => {
      const share = `${folder}/usr/share/trafficmimic`;
      assert.match(await Deno.readTextFile(`${share}/LICENSE`), /^MIT License/);
      assert.match(await Deno.readTextFile(`${share}/THIRD-PARTY-NOTICES`), /^commander@/m);
    });
    {
      await using island = await Island.make();
      await t.step("the source and the network are gone", async () => {
        assert.equal((await island.run(["ls", "-A", root])).out, "");
        assert.notEqual((await island.run(["curl", "http://192.0.2.1/"])).code, 0);
      });
      await t.step(
        "help names the program; a cache that cannot be written does no harm",
        async () => {
          const help = await island.run([program, "client", "--help"]);
          assert.match(help.out, /^Usage: trafficmimic client/);
          assert.match((await island.run([program, "--help"])).out, /bridge-line/);
          const key = await island.run([program, "keygen"], {
            DENO_DIR: "/proc/no",
            HOME: "/proc/no",
          });
          assert.deepEqual([key.err, key.out.length, key.code], ["", 44, 0]);
          const wrong = await island.run([program, "demo"]);
          assert.deepEqual([wrong.code, wrong.err], [
            2,
            'error: unknown command "demo": try --help\n',
          ]);
        },
      );
      await t.step("a tunnel under a model of the user's", async () => {
        const line = await island.start(...[
          ...[program, "server", "--listen", "127.0.0.1:0", "--model", model],
          ...["--model", "https", "--allow-private", "--state", `${folder}/state`],
        ]);
        const ready = await island.start(...[
          ...[program, "client", "--line", line, "--model", model],
          ...["--http", "127.0.0.1:0", "--json"],
        ]);
        const { doors } = JSON.parse(ready);
        const page = await island.run([
          ...["curl", "--silent", "--show-error", "--insecure", "--max-time", "20"],
          ...["--proxy", `http://127.0.0.1:${doors[0].port}`],
          `https://${/^mimic (\S+)/.exec(line)![1]}/`,
        ]);
        assert.match(page.out, /^<!DOCTYPE html>/, page.err);
        const lines = await island.run([program, "bridge-line", "--state", `${folder}/state`]);
        assert.equal(lines.out, `${line}\n`, lines.err);
        // A model that ships.
        const shipped = await island.start(...[
          ...[program, "client", "--line", line.replace(/digest=\S+ /, ""), "--model", "https"],
          ...["--socks", "127.0.0.1:0", "--json"],
        ]);
        assert.equal(JSON.parse(shipped).model.name, "https");
      });
      await t.step(
        "a built-in attack in its worker, and one by others in its sandbox",
        async () => {
          const guide = await Deno.readTextFile(`${root}/docs/writing_an_attack.md`);
          const cache = await run(Deno.execPath(), "info", "--json");
          await withMadeCaptures(async (captures) => {
            const real = [
              ...["--real", `browsing=${captures}/browsing`, "--real", `typing=${captures}/typing`],
              "--json",
            ];
            const own = await island.run([program, "attack", ...real]);
            assert.equal(own.code, 0, own.err);
            assert.equal(JSON.parse(own.out).plugin.name, "knn");
            const path = `${captures}/my_attack.ts`;
            await Deno.writeTextFile(path, /```ts\n([\s\S]*?)```/.exec(guide)![1]!);
            // Bundling a plugin needs Deno's bundler, which a cache holds.
            const theirs = await island.run([program, "attack", "--plugin", path, ...real], {
              DENO_DIR: JSON.parse(cache).denoDir,
            });
            assert.equal(theirs.code, 0, theirs.err);
            assert.equal(JSON.parse(theirs.out).plugin.name, "nearest-centroid");
          });
        },
      );
      await t.step(
        "flows are named, by a forest that several workers grew, and recorded",
        async () => {
          await withMadeCaptures(async (captures) => {
            const labelled = [`browsing=${captures}/browsing`, `typing=${captures}/typing`];
            const apps = `${captures}/apps.model`;
            const train = await island.run([
              ...[program, "train", ...labelled, "--out", apps, "--trees", "20", "--workers", "2"],
            ]);
            assert.deepEqual([train.code, train.err], [0, ""]);
            const { name } = [...Deno.readDirSync(`${captures}/browsing`)][0]!;
            const capture = `${captures}/browsing/${name}`;
            const named = await island.run([program, "classify", "--model", apps, capture]);
            assert.match(named.out, /^(\d.* tcp.* browsing\n)+$/, named.err);
            const flows = await island.run([program, "flows", capture]);
            assert.equal(flows.out, named.out.replaceAll(" browsing\n", "\n"), flows.err);
            const table = `${captures}/table.csv`;
            const features = await island.run([program, "features", ...labelled, "--out", table]);
            assert.equal(features.code, 0, features.err);
            assert.match(await Deno.readTextFile(table), /^label,group,burst,/);
            const recorded = await island.run([
              ...[program, "capture", "--interface", "lo", "--seconds", "1"],
              ...["--out", `${captures}/lo.pcap`, "--json"],
            ]);
            assert.equal(recorded.code, 0, recorded.err);
          });
        },
      );
    }
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("build: an earlier build is replaced, anything else is left alone", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/mine`, "");
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "build", "--out", folder],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  assert.equal(code, 1);
  assert.match(new TextDecoder().decode(stderr), /^error: .*: not empty, and not an earlier build/);
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["mine"]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("build: the launcher has the permissions of the tasks, or is not made", () => {
  const own = "$(deno eval 'console.log(Deno.execPath())')";
  const cases = launcherCases({
    a: "deno run --no-prompt --allow-read cli/main.ts a",
    b: `deno run --no-prompt --allow-run=x,${own} --allow-net cli/main.ts b`,
  }).split("\n");
  assert.equal(cases[0], '  a) set -- --allow-read "$main" "$@" ;;');
  assert.match(cases[1]!, /&& set -- "--allow-run=x,\$deno" --allow-net "\$main" "\$@" ;;$/);
  assert.throws(() => launcherCases({ a: "deno run -A cli/main.ts a" }), /does not state/);
  assert.throws(() => launcherCases({ a: "" }), /the task a does not state its permissions/);
});
