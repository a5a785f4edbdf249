import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, randomInt, X509Certificate } from "node:crypto";
import { writeFileAtomically } from "../../base/mod.ts";
import { CertificateError } from "./errors.ts";

/** What a TLS server shows and proves: PEM texts and what follows from them. */
export interface ServerIdentity {
  /** The certificate chain, PEM. */
  readonly certificate: string;
  /** The private key, PEM. */
  readonly key: string;
  /** SHA-256 of the leaf certificate (DER). */
  readonly digest: Uint8Array;
  /** Base64url SHA-256 of the public key: the line's `cert`. A renewed certificate keeps it. */
  readonly pin: string;
}

/** SHA-256 of a certificate's DER bytes. */
export function certificateDigest(der: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(der).digest());
}

/** Base64url SHA-256 of a certificate's SubjectPublicKeyInfo. */
export function publicKeyPin(der: Uint8Array): string {
  const spki = new X509Certificate(der as Uint8Array<ArrayBuffer>).publicKey.export({
    type: "spki",
    format: "der",
  });
  return createHash("sha256").update(spki).digest("base64url");
}

function identityOf(certificate: string, key: string, file: string): ServerIdentity {
  let der: Uint8Array;
  try {
    der = new X509Certificate(certificate).raw;
  } catch (cause) {
    throw new CertificateError(file, "not a certificate in PEM", cause);
  }
  let pin: string;
  try {
    pin = publicKeyPin(der);
  } catch (cause) {
    throw new CertificateError(file, "its key is of a kind that is not supported", cause);
  }
  return { certificate, key, digest: certificateDigest(der), pin };
}

/** When an identity's certificate ends, in milliseconds since 1970. */
export function expiryOf({ certificate }: ServerIdentity): number {
  return Date.parse(new X509Certificate(certificate).validTo);
}

/** Reads an operator's own certificate (chain) and private key, both PEM. */
export async function readIdentity(certFile: string, keyFile: string): Promise<ServerIdentity> {
  const read = async (file: string) => {
    try {
      return await Deno.readTextFile(file);
    } catch (cause) {
      throw new CertificateError(file, "cannot be read", cause);
    }
  };
  const [certificate, key] = [await read(certFile), await read(keyFile)];
  const identity = identityOf(certificate, key, certFile);
  try {
    const mine = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
    if (!mine) throw new CertificateError(keyFile, `not the key of ${certFile}`);
  } catch (cause) {
    if (cause instanceof CertificateError) throw cause;
    throw new CertificateError(keyFile, "not a private key in PEM", cause);
  }
  return identity;
}

/**
 * Reads the certificate (chain), PEM, of a genuine server that stands in front of us and keeps its key to itself.
 * The digest, to which proofs are bound, is that of the public key: it outlives renewals, which that server
 * takes into use when it likes.
 */
export async function readFrontIdentity(certFile: string): Promise<ServerIdentity> {
  let certificate: string;
  try {
    certificate = await Deno.readTextFile(certFile);
  } catch (cause) {
    throw new CertificateError(certFile, "cannot be read", cause);
  }
  const identity = identityOf(certificate, "", certFile);
  return { ...identity, digest: new Uint8Array(Buffer.from(identity.pin, "base64url")) };
}

const SYLLABLES = "ba co da el fi go ha in jo ka li mo na or pa qui ro sa ti um va wo ya zen".split(
  " ",
);

/** A short name of made-up syllables. */
export function madeUpName(syllables = 2 + randomInt(2)): string {
  return Array.from({ length: syllables }, () => SYLLABLES[randomInt(SYLLABLES.length)]!).join("");
}

/**
 * Makes a self-signed certificate (P-256) whose name, serial number and dates are this installation's
 * own: a common one would be a signature of the fleet.
 */
export async function makeIdentity(name: string): Promise<ServerIdentity> {
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const day = 86_400_000;
  const start = Date.now() - randomInt(1, 60 * 86_400) * 1000;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: `5${crypto.randomUUID().replaceAll("-", "").slice(1)}`,
    name: `CN=${name}`,
    notBefore: new Date(start),
    notAfter: new Date(start + (1 + randomInt(10)) * 365 * day),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  const key = x509.PemConverter.encode(pkcs8, "PRIVATE KEY");
  return identityOf(`${certificate.toString("pem")}\n`, `${key}\n`, "the new certificate");
}

/**
 * The identity kept in `folder` (`cert.pem`, `key.pem`, mode 0600), made at the first start and kept
 * across restarts.
 */
export async function keptIdentity(folder: string, name?: string): Promise<ServerIdentity> {
  const [certFile, keyFile] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  const exists = (file: string) => Deno.stat(file).then(() => true, () => false);
  if (await exists(certFile) || await exists(keyFile)) return await readIdentity(certFile, keyFile);
  const identity = await makeIdentity(name ?? madeUpName());
  await writeFileAtomically(keyFile, identity.key, { mode: 0o600 });
  await writeFileAtomically(certFile, identity.certificate, { mode: 0o600 });
  return identity;
}
