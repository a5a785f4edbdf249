import { pathToFileURL } from "node:url";
import * as v from "valibot";
import { UsageError, UserError } from "../base/mod.ts";
import { type Protocol, registerProtocol } from "../protocols/mod.ts";
import { note } from "./output.ts";

/** The option that gives consent: code that is named by it runs with the rights of the command. */
export const PROTOCOL_OPTION = "--protocol-plugin";

/** A file that is no protocol. */
export class ProtocolPluginError extends UserError {
  /** `path` as the user gave it. */
  constructor(readonly path: string, why: string, cause?: unknown) {
    super(`${PROTOCOL_OPTION} ${path}: ${why}`, { cause });
  }
}

const word = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9][a-z0-9-]{0,63}$/, "lower-case letters, digits and -"),
);
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const withMethods = (...names: string[]) =>
  v.custom<object>(
    (value) =>
      typeof value === "object" && value !== null &&
      names.every((name) => typeof (value as Record<string, unknown>)[name] === "function"),
    `an object with ${names.join("() and ")}()`,
  );
const protocolSchema = v.strictObject({
  name: word,
  ports: v.array(port),
  carrier: word,
  handshakes: v.pipe(v.array(word), v.minLength(1)),
  portLabels: v.optional(v.array(word)),
  alpn: v.optional(v.strictObject({
    native: v.array(v.string()),
    fronted: v.optional(v.array(v.string())),
  })),
  decoy: v.optional(v.string()),
  model: v.optional(v.instance(URL)),
  recogniser: v.optional(v.intersect([
    v.looseObject({ carrier: word, ports: v.array(port) }),
    withMethods("create"),
  ])),
  transport: v.optional(v.intersect([
    v.looseObject({ name: word }),
    withMethods("client", "listen"),
  ])),
});

/** The protocol that a module at a path exports by default. Runs the module. */
async function load(path: string): Promise<Protocol> {
  if (/^[a-z][a-z0-9+.-]+:/i.test(path)) {
    throw new ProtocolPluginError(path, "a protocol is trusted code: give the path of a file");
  }
  let real: string;
  try {
    real = await Deno.realPath(path);
  } catch (cause) {
    throw new ProtocolPluginError(path, "there is no such file", cause);
  }
  let module: { default?: unknown };
  try {
    module = await import(pathToFileURL(real).href);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message.split("\n")[0]! : String(cause);
    throw new ProtocolPluginError(path, `cannot be loaded: ${said}`, cause);
  }
  const parsed = v.safeParse(protocolSchema, module.default, { abortEarly: true });
  if (!parsed.success) {
    const issue = parsed.issues[0]!;
    const at = v.getDotPath(issue);
    throw new ProtocolPluginError(
      path,
      `its default export is no protocol: ${at === null ? "" : `${at}: `}${
        issue.message.replaceAll(/\s+/g, " ").slice(0, 160)
      }`,
    );
  }
  // Not the parsed copy: its objects carry their methods by their prototypes.
  return module.default as Protocol;
}

/**
 * Loads and registers the protocols that `args` names, and returns the other arguments. To be called before
 * a command is made, which lists the protocols and carriers that there are.
 *
 * @throws {UserError} if one cannot be loaded.
 */
export async function withProtocolPlugins(args: readonly string[]): Promise<string[]> {
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") return [...rest, ...args.slice(i)];
    if (arg !== PROTOCOL_OPTION && !arg.startsWith(`${PROTOCOL_OPTION}=`)) {
      rest.push(arg);
      continue;
    }
    const path = arg === PROTOCOL_OPTION ? args[++i] : arg.slice(PROTOCOL_OPTION.length + 1);
    if (path === undefined || path === "") {
      throw new UsageError(`${PROTOCOL_OPTION}: give the path of a protocol's module`);
    }
    const protocol = await load(path);
    registerProtocol(protocol);
    note(`note: protocol ${protocol.name} from ${path}: it runs with all rights of this command`);
  }
  return rest;
}
