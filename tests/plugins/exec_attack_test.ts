import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { runAttack } from "../../evaluation/mod.ts";
import { DEFAULT_ATTACK_LIMITS, execAttack, PluginError } from "../../plugins/mod.ts";
import { makeSamples, threeClasses } from "./made_samples.ts";

const works = (command: string, args: string[]) =>
  new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const hasPrlimit = await works("prlimit", ["--version"]) && await works("setsid", ["--version"]);
const hasSklearn = hasPrlimit && await works("/usr/bin/python3", ["-c", "import sklearn"]);

function execTest(name: string, body: () => Promise<void>): void {
  Deno.test({ name: `${name} (needs prlimit, setsid)`, ignore: !hasPrlimit, fn: body });
}

const LIMITS = {
  sandbox: { ...DEFAULT_ATTACK_LIMITS.sandbox, load: 60_000 },
  train: 60_000,
  classify: 60_000,
};
const GREET = `read x; echo '{"serial":1,"name":"shell","reads":"features"}';`;
const NOTES = `read x; echo '{"serial":2,"notes":{"ok":true}}';`;

/** An attack that is a shell script; the error that training and judging end with. */
async function provoke(script: string, limits = LIMITS): Promise<PluginError> {
  try {
    await using attack = await execAttack(["/bin/sh", "-c", script], limits).start();
    await attack.train(threeClasses(1), { seed: 1, parameters: {} });
    await attack.classify(threeClasses(1));
  } catch (error) {
    assert.ok(error instanceof PluginError, String(error));
    assert.match(error.message, /^plugin [^\n]+$/);
    return error;
  }
  assert.fail("nothing was wrong");
}

const FAULTS: Record<string, { script: string; fault: string; says: RegExp }> = {
  "says nothing and ends": { script: "exit 3", fault: "exited", says: /\(code 3\)/ },
  "is not there": { script: "exec /nowhere/at/all", fault: "exited", says: /not found/ },
  "has no name": {
    script: `read x; echo '{"serial":1}'; read x`,
    fault: "contract",
    says: /its name/,
  },
  "speaks no JSON": { script: "echo hello; read x", fault: "output", says: /no JSON: hello/ },
  "answers a list": { script: "read x; echo []; read x", fault: "output", says: /no JSON object/ },
  "answers another call": {
    script: `${GREET} read x; echo '{"serial":7}'; read x`,
    fault: "output",
    says: /not the last one/,
  },
  "reports an error": {
    script: `${GREET} read x; echo '{"serial":2,"error":"too few"}'; read x`,
    fault: "threw",
    says: /failed in train: too few/,
  },
  "answers text for numbers": {
    script: `${GREET} ${NOTES} read x;
      echo '{"serial":3,"labels":["a"],"confidence":[],"anomaly":[]}'; read x`,
    fault: "answer",
    says: /labels that are no list of numbers/,
  },
  "answers too few": {
    script:
      `${GREET} ${NOTES} read x; echo '{"serial":3,"labels":[],"confidence":[],"anomaly":[]}'`,
    fault: "answer",
    says: /0 of labels for 180 samples/,
  },
  "floods standard output": {
    script: "exec yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | tr -d '\\n'",
    fault: "output",
    says: /more than 4096 bytes/,
  },
  "floods its log": { script: "yes >&2", fault: "output", says: /bytes to its log/ },
};

for (const [name, { script, fault, says }] of Object.entries(FAULTS)) {
  execTest(`a program that ${name} is stopped and named`, async () => {
    const error = await provoke(script);
    assert.match(error.message, says);
    assert.equal(error.fault, fault);
  });
}

execTest("a program that hangs is killed with its children", async () => {
  const file = await Deno.makeTempFile();
  try {
    const script = `${GREET} sleep 1000 & echo $! > ${file}; wait`;
    const error = await provoke(script, { ...LIMITS, train: 500 });
    assert.match(error.message, /train took longer than 500 ms: killed/);
    const child = Number(await Deno.readTextFile(file));
    const state = await Deno.readTextFile(`/proc/${child}/stat`).catch(() => "gone");
    // Whoever inherits it may not have buried it yet.
    assert.match(state, /^gone$|\) Z /);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test({
  name: "scikit-learn tells classes apart as an external attack (needs python3-sklearn)",
  ignore: !hasSklearn,
  fn: async () => {
    const script = fileURLToPath(
      new URL("../../examples/attack-sklearn/attack.py", import.meta.url),
    );
    const program = execAttack(["/usr/bin/python3", script], {
      ...DEFAULT_ATTACK_LIMITS,
      sandbox: { ...DEFAULT_ATTACK_LIMITS.sandbox, load: 60_000 },
    });
    const real = makeSamples([
      { name: "https", centre: [5000, 900], width: 60, captures: 2, each: 20 },
      { name: "ssh", centre: [200, 9000], width: 60, captures: 2, each: 20 },
    ], 1);
    const run = await runAttack({ program, real, seed: 1, parameters: { trees: 10 }, folds: 2 });
    assert.equal(run.plugin.name, "sklearn-forest");
    assert.equal(run.crossValidation.accuracy, 1);
    assert.equal(run.training.trees, 10);
  },
});
