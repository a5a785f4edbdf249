import { makeIdentity, nginxLocation, type ServerIdentity } from "../transports/carriers/mod.ts";

/** Whether nginx can be started here. */
export const NGINX = await new Deno.Command("nginx", { args: ["-v"], stderr: "null" }).output()
  .then(({ success }) => success, () => false);

/** A test that needs nginx is skipped under this name where it is missing. */
export const needsNginx = (name: string) => NGINX ? name : `${name} (skipped: needs nginx)`;

/** A port that was free a moment ago. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** A genuine web server. */
export interface Nginx extends AsyncDisposable {
  /** Its TLS port on 127.0.0.1. */
  readonly port: number;
  /** What it shows. */
  readonly identity: ServerIdentity;
  /** Files of its certificate and key. */
  readonly cert: string;
  readonly key: string;
  /** A folder of its own. */
  readonly folder: string;
}

/**
 * Starts nginx on 127.0.0.1 as Debian configures it (TLS 1.2 and 1.3, tickets, no session cache), with one page.
 * `patience` is its timeout in seconds, 60 if absent (after a complete request a second less); `front` is handed the connections of a secret path.
 */
export async function startNginx(
  options: {
    readonly front?: { readonly path: string; readonly port: number };
    readonly patience?: number;
    /** Another's pages and certificate. */
    readonly like?: Nginx;
  } = {},
): Promise<Nginx> {
  const { front, like, patience = 60 } = options;
  const folder = await Deno.makeTempDir({ prefix: "nginx-" });
  const port = freePort();
  const site = like?.folder ?? folder;
  const [cert, key] = [`${site}/cert.pem`, `${site}/key.pem`];
  const identity = like?.identity ?? await makeIdentity("www.example.com");
  if (like === undefined) {
    await Deno.writeTextFile(cert, identity.certificate);
    await Deno.writeTextFile(key, identity.key);
    await Deno.mkdir(`${folder}/www`);
    await Deno.writeTextFile(`${folder}/www/index.html`, "<!DOCTYPE html><title>A page</title>\n");
    await Deno.writeFile(`${folder}/www/big`, new Uint8Array(3_000_000).fill(65));
  }
  const block = front === undefined
    ? ""
    : nginxLocation(front.path, { host: "127.0.0.1", port: front.port });
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    `daemon off;
${Deno.uid() === 0 ? "user root;" : ""}
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events { worker_connections 512; }
http {
  types { text/html html; }
  access_log off;
  sendfile on;
  client_header_timeout ${patience}s;
  client_body_timeout ${patience}s;
  keepalive_timeout ${Math.max(1, patience - 1)}s;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  server {
    listen 127.0.0.1:${port} ssl;
    server_name www.example.com;
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    root ${site}/www;
    ${block}
  }
}
`,
  );
  const child = new Deno.Command("nginx", {
    args: ["-e", "stderr", "-p", folder, "-c", `${folder}/nginx.conf`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  for (let tries = 0;; tries++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch (error) {
      if (tries === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return {
    port,
    identity,
    cert,
    key,
    folder,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}
