import { Buffer } from "node:buffer";
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from "node:crypto";

/** An Ed25519 key as OpenSSH reads it. */
export interface SshKey {
  /** The private key's file. */
  readonly privateKey: string;
  /** The public key in one line, as in `authorized_keys`. */
  readonly publicKey: string;
  /** SHA-256 of the public key as it crosses the wire (RFC 8709): what `ssh-keygen -l` prints in base64. */
  readonly digest: Uint8Array;
}

const TYPE = "ssh-ed25519";
/** What PKCS #8 has before the 32 bytes of an Ed25519 seed (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
/** OpenSSH pads the private part of a key file to this. */
const BLOCK = 8;

/** The key pair by which the user of a secret logs in: the same at both ends, drawn from the secret alone. */
export function userKeyOf(secret: Uint8Array): SshKey {
  const seed = hkdfSync("sha256", secret, new Uint8Array(0), "trafficmimic ssh user key", 32);
  const der = Buffer.concat([PKCS8_PREFIX, Buffer.from(seed)]);
  return sshKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
}

/** A new host key. */
export function newHostKey(): SshKey {
  return sshKey(generateKeyPairSync("ed25519").privateKey);
}

/**
 * The digest of a public key line.
 *
 * @throws {Error} if it is no Ed25519 key.
 */
export function digestOf(publicKey: string): Uint8Array {
  const [type, base64] = publicKey.trim().split(/\s+/);
  if (type !== TYPE || base64 === undefined) throw new Error(`it holds no ${TYPE} key`);
  return sha256(Buffer.from(base64, "base64"));
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

/** The file format of OpenSSH (PROTOCOL.key), without a passphrase. */
function sshKey(key: KeyObject): SshKey {
  const { d, x } = key.export({ format: "jwk" });
  const seed = Buffer.from(d!, "base64url");
  const point = Buffer.from(x!, "base64url");
  const blob = Buffer.concat([string(TYPE), string(point)]);
  // Two equal numbers by which OpenSSH sees that a passphrase was right; there is none.
  const check = Buffer.alloc(8);
  const plain = Buffer.concat([check, blob, string(Buffer.concat([seed, point])), string("")]);
  const padding = Buffer.from(
    Array.from({ length: (BLOCK - plain.length % BLOCK) % BLOCK }, (_, i) => i + 1),
  );
  const file = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    string("none"),
    string("none"),
    string(""),
    Buffer.from([0, 0, 0, 1]),
    string(blob),
    string(Buffer.concat([plain, padding])),
  ]).toString("base64").replace(/.{70}/g, "$&\n");
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${file}\n-----END OPENSSH PRIVATE KEY-----\n`,
    publicKey: `${TYPE} ${blob.toString("base64")}`,
    digest: sha256(blob),
  };
}

/** A string of SSH: four bytes of length, then the bytes. */
function string(value: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(value as Uint8Array);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
