// Serves a file over HTTP at 127.0.0.1: what Tor clients fetch. Arguments: the port, the file.
const [port, file] = Deno.args;
const bytes = await Deno.readFile(file!);
Deno.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  onListen: () => Deno.stdout.writeSync(new TextEncoder().encode("listening\n")),
}, ({ url }) => {
  const size = Number(new URL(url).searchParams.get("bytes") ?? bytes.length);
  return new Response(bytes.subarray(0, size));
});
