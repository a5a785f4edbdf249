import { randomBytes } from "node:crypto";
import { UserError, writeFileAtomically } from "../../base/mod.ts";
import { keptIdentity, type ServerIdentity } from "../carriers/mod.ts";
import type { Address } from "../doors/mod.ts";
import { type DecoyPages, makeDecoyPages } from "./decoy_page.ts";
import { formatLine, parseLine } from "./line.ts";
import { formatSecret, newSecret, parseSecret } from "./proof.ts";

/** The state folder cannot be used. */
export class StateError extends UserError {
  /** `path` is the folder or file at fault. */
  constructor(readonly path: string, cause: unknown) {
    super(`${path}: cannot be used as state: ${(cause as Error).message.split("\n")[0]}`, {
      cause,
    });
  }
}

/** What a server keeps across restarts: made at the first start, anew for each installation. */
export interface ServerState {
  /** Its key and certificate. */
  readonly identity: ServerIdentity;
  /** The users' secrets. */
  readonly secrets: readonly Uint8Array[];
  /** The built-in decoy's pages. */
  readonly pages: DecoyPages;
  /** The secret path on which a web server in front hands connections on, if one stands there. */
  readonly path?: string;
}

/** The secrets that a file holds, one a line. */
function secretsIn(text: string, file: string): Uint8Array[] {
  const secrets = text.split("\n").flatMap((line, index) => {
    const secret = line.trim();
    return secret === "" ? [] : [parseSecret(secret, `${file}, line ${index + 1}`)];
  });
  if (secrets.length === 0) throw new Error(`${file} is empty`);
  return secrets;
}

/**
 * The users' secrets in `file`, one a line.
 *
 * @throws {StateError} if it cannot be read, or holds none.
 * @throws {SecretError} if a line is none.
 */
export async function readSecrets(file: string): Promise<Uint8Array[]> {
  try {
    return secretsIn(await Deno.readTextFile(file), file);
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new StateError(file, cause);
  }
}

/**
 * The lines of all users of the server whose state is in `folder`, in the order of its file `secrets`;
 * with another address if one is given.
 *
 * @throws {StateError} if the server has never been started with this folder, or it cannot be read.
 * @throws {SecretError} if a line of `secrets` is none.
 * @throws {LineError} if its file `line` is none.
 */
export async function readLines(folder: string, advertise?: Address): Promise<string[]> {
  try {
    const line = parseLine(await Deno.readTextFile(`${folder}/line`));
    const file = `${folder}/secrets`;
    return secretsIn(await Deno.readTextFile(file), file)
      .map((secret) => formatLine({ ...line, secret, address: advertise ?? line.address }));
  } catch (cause) {
    if (cause instanceof UserError || cause instanceof Deno.errors.NotCapable) throw cause;
    if (cause instanceof Deno.errors.NotFound) {
      throw new StateError(folder, new Error("no server was started with it: start one first"));
    }
    throw new StateError(folder, cause);
  }
}

/**
 * Files of the state folder that hold secrets and that others of this machine can read, for a warning. What we make
 * is for its owner only; a folder or a file that was there before is left as it is.
 */
export async function exposedFiles(folder: string): Promise<string[]> {
  const mode = async (path: string) => (await Deno.stat(path)).mode ?? 0;
  if ((await mode(folder) & 0o011) === 0) return [];
  const exposed: string[] = [];
  for (const name of ["key.pem", "line", "path", "secrets"]) {
    const file = `${folder}/${name}`;
    try {
      if ((await mode(file) & 0o044) > 0) exposed.push(file);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return exposed;
}

async function readOrMake(file: string, make: () => string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const text = make();
    await writeFileAtomically(file, text, { mode: 0o600 });
    return text;
  }
}

/**
 * Opens the state folder `folder` (mode 0700), making what is missing (files of mode 0600): `cert.pem` and
 * `key.pem` unless an `identity` is given, `secrets` (one a line; lines may be added), `home.html` and
 * `missing.html`; `path` where a web server stands in `front`. `name` is the name in a new certificate.
 *
 * @throws {StateError} if the folder cannot be used.
 * @throws {SecretError} if a line of `secrets` is none.
 * @throws {CertificateError} if the certificate or the key cannot be used.
 */
export async function openServerState(
  folder: string,
  options: {
    readonly identity?: ServerIdentity;
    readonly name?: string;
    readonly front?: boolean;
  } = {},
): Promise<ServerState> {
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    const secretsFile = `${folder}/secrets`;
    const text = await readOrMake(secretsFile, () => `${formatSecret(newSecret())}\n`);
    const secrets = secretsIn(text, secretsFile);
    const path = options.front
      ? (await readOrMake(`${folder}/path`, () => `/${randomBytes(16).toString("base64url")}\n`))
        .trim()
      : undefined;
    const made = makeDecoyPages();
    return {
      identity: options.identity ?? await keptIdentity(folder, options.name),
      secrets,
      ...(path === undefined ? {} : { path }),
      pages: {
        home: await readOrMake(`${folder}/home.html`, () => made.home),
        missing: await readOrMake(`${folder}/missing.html`, () => made.missing),
      },
    };
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    if (cause instanceof Deno.errors.NotCapable) {
      // No permission that a command has is enough for those, whatever it says of folders.
      if (!cause.message.includes("Requires all access")) throw cause;
      throw new StateError(folder, new Error("it belongs to the system: choose another folder"));
    }
    throw new StateError(folder, cause);
  }
}
