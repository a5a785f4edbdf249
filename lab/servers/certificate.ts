import { run } from "../process.ts";

/** Writes a fresh key and a certificate that it signs itself into `folder`; returns their paths. */
export async function makeCertificate(
  folder: string,
  name: string,
  key: "rsa" | "ecdsa",
): Promise<{ key: string; certificate: string }> {
  const paths = { key: `${folder}/${name}.key`, certificate: `${folder}/${name}.crt` };
  const kind = key === "rsa" ? ["rsa:2048"] : ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  await run([
    ...["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", ...kind],
    ...["-keyout", paths.key, "-out", paths.certificate],
    ...["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`],
  ], 30_000);
  return paths;
}
