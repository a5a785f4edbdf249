import assert from "node:assert/strict";
import { listenTls } from "../../transports/carriers/tls.ts";
import { denoTls } from "../../transports/carriers/tls_deno.ts";

const installed = (() => {
  try {
    new Deno.Command("openssl", { args: ["version"], stdout: "null", stderr: "null" }).outputSync();
    return true;
  } catch {
    return false;
  }
})();

async function openssl(...args: string[]): Promise<void> {
  const { success } = await new Deno.Command("openssl", {
    args,
    stdout: "null",
    stderr: "null",
  }).output();
  assert.ok(success, args.join(" "));
}

Deno.test({
  name:
    "tls (deno): without a pin and a name, the address is what the certificate has to be for (needs openssl)",
  ignore: !installed,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const at = (name: string) => `${folder}/${name}`;
    const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const carriers = (file: string) =>
      new URL(`../../transports/carriers/${file}`, import.meta.url).href;
    await Deno.writeTextFile(
      at("client.ts"),
      `import { connectTls } from "${carriers("tls.ts")}";
      import { denoTls } from "${carriers("tls_deno.ts")}";
      const options = { hostname: "127.0.0.1", port: Number(Deno.args[0]), engine: denoTls };
      await connectTls(options).then(() => console.log("taken"), () => console.log("refused"));
      Deno.exit(0);`,
    );
    try {
      await openssl(
        ...["req", "-x509", ...fresh, "-subj", "/CN=root", "-keyout", at("root.key")],
        ...["-out", at("root.pem")],
      );
      for (const [name, expected] of [["IP:127.0.0.1", "taken"], ["DNS:localhost", "refused"]]) {
        await Deno.writeTextFile(at("names"), `subjectAltName=${name}`);
        await openssl(
          ...["req", ...fresh, "-subj", "/CN=server", "-keyout", at("key"), "-out", at("request")],
        );
        await openssl(
          ...["x509", "-req", "-in", at("request"), "-CA", at("root.pem"), "-CAkey"],
          ...[at("root.key"), "-CAcreateserial", "-extfile", at("names"), "-out", at("cert")],
        );
        const server = await listenTls({
          hostname: "127.0.0.1",
          port: 0,
          engine: denoTls,
          identity: {
            certificate: await Deno.readTextFile(at("cert")),
            key: await Deno.readTextFile(at("key")),
            digest: new Uint8Array(32),
            pin: "",
          },
        }, (connection) => connection.close("fin"));
        try {
          const { stdout } = await new Deno.Command(Deno.execPath(), {
            args: [
              ...["run", "--no-check", "--no-prompt", "--allow-read", "--allow-net=127.0.0.1"],
              ...["--allow-env", at("client.ts"), String(server.port)],
            ],
            env: { DENO_CERT: at("root.pem") },
            stderr: "inherit",
          }).output();
          assert.equal(new TextDecoder().decode(stdout).trim(), expected, name);
        } finally {
          await server.close();
        }
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
