/** `fuzz.ts COUNT [SEED]`: gives every decoder so many damaged inputs. */
import { DECODERS, fuzz } from "./fuzz_decoders.ts";

const [count = "1000000", seed = "1"] = Deno.args;
for (const decoder of DECODERS) {
  const start = performance.now();
  const { taken, refused, slowest } = fuzz(decoder, Number(count), Number(seed));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const line = `${decoder.name}: ${taken} taken, ${refused} refused, ${seconds} s, ` +
    `slowest input ${slowest.toFixed(1)} ms\n`;
  await Deno.stdout.write(new TextEncoder().encode(line));
}
