import { type Operator, operatorOf } from "../apps/operators.ts";
import { run } from "../process.ts";

const openssl = (args: readonly string[]) => run(["openssl", ...args], 60_000);

const KEY = { rsa: ["rsa:2048"], ecdsa: ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] };

/** Fields of an issuer's name, as long as they are outside. */
const issuerName = (text: string) =>
  `/C=US/O=Example Trust Services of the Laboratory/CN=${text} Server Certificates G2`;

/**
 * Makes the certificates of all operators of `hosts` in `folder`, each with its issuers: `<domain>.crt` and
 * `<domain>.key`. Returns the operators.
 */
export async function makeOperatorCertificates(
  folder: string,
  hosts: readonly string[],
): Promise<Operator[]> {
  // Two issuers and one key for each kind: what matters on the wire is how long certificates are.
  for (const kind of ["rsa", "ecdsa"] as const) {
    await openssl([
      ...["req", "-x509", "-nodes", "-days", "30", "-newkey", ...KEY[kind]],
      ...["-keyout", `${folder}/root-${kind}.key`, "-out", `${folder}/root-${kind}.crt`],
      ...["-subj", issuerName(`Root ${kind}`)],
    ]);
    await openssl([
      ...["req", "-x509", "-nodes", "-days", "30", "-newkey", ...KEY[kind]],
      ...["-CA", `${folder}/root-${kind}.crt`, "-CAkey", `${folder}/root-${kind}.key`],
      ...["-keyout", `${folder}/issuer-${kind}.key`, "-out", `${folder}/issuer-${kind}.crt`],
      ...[
        "-subj",
        issuerName(kind),
        "-addext",
        "certificatePolicies=1.3.6.1.4.1.311.1,2.23.140.1.2.1",
      ],
    ]);
    await openssl([
      ...["req", "-new", "-nodes", "-newkey", ...KEY[kind], "-subj", "/CN=x"],
      ...["-keyout", `${folder}/leaf-${kind}.key`, "-out", `${folder}/leaf-${kind}.csr`],
    ]);
  }
  const operators = new Map(hosts.map((host) => [operatorOf(host).domain, operatorOf(host)]));
  for (const { domain, key, issuers, alternativeNames } of operators.values()) {
    const names = hosts.filter((host) => operatorOf(host).domain === domain);
    const others = Array.from(
      { length: alternativeNames },
      (_, index) => `site-${index}.${domain}`,
    );
    const leaf = `${folder}/${domain}.leaf`;
    await openssl([
      ...["req", "-x509", "-days", "30", "-key", `${folder}/leaf-${key}.key`, "-out", leaf],
      ...["-CA", `${folder}/issuer-${key}.crt`, "-CAkey", `${folder}/issuer-${key}.key`],
      ...["-subj", `/CN=${names[0]}`, "-addext"],
      `subjectAltName=${[...names, ...others].map((name) => `DNS:${name}`).join(",")}`,
    ]);
    const chain = [leaf, `${folder}/issuer-${key}.crt`, `${folder}/root-${key}.crt`];
    const texts = await Promise.all(
      chain.slice(0, 1 + issuers).map((path) => Deno.readTextFile(path)),
    );
    await Deno.writeTextFile(`${folder}/${domain}.crt`, texts.join(""));
    await Deno.copyFile(`${folder}/leaf-${key}.key`, `${folder}/${domain}.key`);
  }
  return [...operators.values()];
}
