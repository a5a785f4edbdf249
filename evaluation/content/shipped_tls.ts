/**
 * More real TLS connections among the samples: the applications' captures, which hold headers only and are all of
 * browsers and nginx. None where there are no such samples.
 *
 * @param samples The folder of samples.
 */
export async function shippedTls(samples: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { isDirectory, name: round } of Deno.readDir(`${samples}/apps`)) {
      if (!isDirectory) continue;
      for await (const { name } of Deno.readDir(`${samples}/apps/${round}`)) {
        if (name.endsWith(".pcap.gz")) found.push(`${samples}/apps/${round}/${name}`);
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}
