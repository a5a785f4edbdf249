// Serves a folder over HTTPS to whoever reaches it. Arguments: address, port, folder, certificate, key.
const [hostname, port, folder, cert, key] = Deno.args as [string, string, string, string, string];
Deno.serve({
  hostname,
  port: Number(port),
  cert: await Deno.readTextFile(cert),
  key: await Deno.readTextFile(key),
  onListen: () => Deno.stdout.writeSync(new TextEncoder().encode("listening\n")),
}, async ({ url }) => {
  const { pathname } = new URL(url);
  return await Deno.readFile(folder + pathname).then(
    (bytes) => new Response(bytes),
    () => new Response(null, { status: 404 }),
  );
});
