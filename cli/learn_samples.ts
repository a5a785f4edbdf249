import { fileURLToPath } from "node:url";
import { Command } from "./command_line.ts";
import { writeFileAtomically } from "../base/mod.ts";
import { LEARNED_RUNS } from "../evaluation/sample_roles.ts";
import { LEARNABLE_PROTOCOLS, LEARNERS, learnFromCaptures } from "../models/learn/mod.ts";
import { print } from "./output.ts";

/** `deno task learn:samples`: makes the models in models/learned again, byte for byte. */
export function command(): Command {
  return new Command("deno task learn:samples")
    .description(
      "Learns the models that ship from the samples that ship; the same bytes every time.",
    )
    .action(run);
}

async function run(): Promise<void> {
  for (const protocol of LEARNABLE_PROTOCOLS) {
    const files = LEARNED_RUNS.map((run) =>
      fileURLToPath(new URL(`../samples/${protocol.name}/run-${run}.pcap.gz`, import.meta.url))
    );
    const users = [
      fileURLToPath(new URL(`../samples/users/${protocol.name}/run-1.pcap.gz`, import.meta.url)),
    ];
    const variants = [
      ...[...LEARNERS.keys()].map((kind) => ({ kind })),
      { kind: "conditional", name: `${protocol.name}-users`, users },
    ];
    for (const variant of variants) {
      const { protocols } = await learnFromCaptures(files, {
        protocols: [protocol],
        byPort: false,
        ...variant,
        seed: 1,
      });
      const { file, text, digest, connections, exchanges } = protocols[0]!.model!;
      const path = fileURLToPath(new URL(`../models/learned/${file.name}.json`, import.meta.url));
      await writeFileAtomically(path, text);
      print(`${file.name}: ${connections} connections, ${exchanges} exchanges, ${digest}`);
    }
  }
}
