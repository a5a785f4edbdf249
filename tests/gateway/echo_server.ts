// Answers every request with the address that it came from, and a body to fetch.
const ready = () => Deno.stdout.writeSync(new TextEncoder().encode("ready\n"));
Deno.serve({ hostname: "0.0.0.0", port: 8080, onListen: ready }, (_request, { remoteAddr }) => {
  return new Response(`from ${remoteAddr.hostname}\n${"x".repeat(50_000)}`);
});
