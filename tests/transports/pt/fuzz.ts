/** `fuzz.ts COUNT [SEED]`: gives every parser so many damaged inputs. */
import { fuzz, PARSERS } from "./parsers.ts";

const [count = "1000000", seed = "1"] = Deno.args;
for (const parser of PARSERS) {
  const start = performance.now();
  const { taken, refused } = fuzz(parser, Number(count), Number(seed));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const line = `${parser.name}: ${taken} taken, ${refused} refused, ${seconds} s\n`;
  await Deno.stdout.write(new TextEncoder().encode(line));
}
