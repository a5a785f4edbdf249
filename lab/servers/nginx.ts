import { denoCache, type LabNetwork, SERVER_ADDRESS } from "../network.ts";
import { CONTENT_TYPE, contentOf, htmlOf, pagesOf, type WebUser } from "../workload/https.ts";
import type { AppAnswer, AppPlan } from "../app_backend.ts";
import { makeCertificate } from "./certificate.ts";

/** The name that the browser asks for; nginx's certificate bears it. */
export const WEB_HOST = "www.example.com";

const APP = { hostname: "127.0.0.1", port: 9000 };

const configuration = (
  folder: string,
  addresses: readonly string[],
  key: string,
  certificate: string,
) => `
daemon off;
user root;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  types { text/html html; text/css css; text/javascript js; image/svg+xml svg; }
  access_log off;
  sendfile on;
  tcp_nodelay on;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_time 3s;
  upstream app { server ${APP.hostname}:${APP.port}; keepalive 16; }
  server {
    ${addresses.map((address) => `listen ${address}:443 ssl;`).join(" ")}
    server_name ${WEB_HOST};
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    root ${folder}/www;
    client_max_body_size 1m;
    location / { add_header Cache-Control "public, max-age=86400"; }
    location /app/ {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`;

function appAnswers(users: readonly WebUser[]): Record<string, AppAnswer> {
  const answers: Record<string, AppAnswer> = {};
  for (const page of pagesOf(users)) {
    answers[page.path] = { delay: page.delay, type: "text/html", body: htmlOf(page) };
    for (const { path, delay, size } of page.calls) {
      answers[path] = { delay, type: "application/json", body: `"${"x".repeat(size)}"` };
    }
    for (const object of page.objects) {
      if (object.delay === undefined) continue;
      const type = CONTENT_TYPE[object.kind];
      answers[object.path] = { delay: object.delay, type, body: contentOf(object) };
    }
  }
  return answers;
}

async function writeSite(root: string, users: readonly WebUser[]): Promise<void> {
  for (const object of pagesOf(users).flatMap((page) => page.objects)) {
    if (object.delay !== undefined) continue;
    const file = root + object.path.replace(/\?.*/, "");
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(file, contentOf(object));
  }
}

/** Where a server behind nginx is met, inside the server's namespace. */
export const WEB_BEHIND = { host: "127.0.0.1", port: 8443 } as const;

/**
 * Writes the configuration of an nginx on port 443 that hands a secret path on to our server, by the block in
 * the file `block`, and has a page for everybody else. Returns the path of its certificate, and the command that
 * starts it once the block is there.
 */
export async function frontingNginx(
  folder: string,
  block: string,
): Promise<{ certificate: string; argv: readonly string[] }> {
  const { key, certificate } = await makeCertificate(folder, WEB_HOST, "ecdsa");
  await Deno.mkdir(`${folder}/www`);
  await Deno.writeTextFile(`${folder}/www/index.html`, "<!doctype html><title>Welcome</title>\n");
  const own = configuration(folder, [SERVER_ADDRESS], key, certificate);
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    own.replace("    location /app/ {", `    include ${block};\n    location /app/ {`),
  );
  return { certificate, argv: commandOf(folder) };
}

function commandOf(folder: string): string[] {
  return ["nginx", "-e", "stderr", "-p", folder, "-c", `${folder}/nginx.conf`];
}

/** Starts nginx on port 443 with the users' site on its disk and an application behind it. */
export async function startNginx(
  network: LabNetwork,
  folder: string,
  users: readonly WebUser[],
): Promise<void> {
  const { key, certificate } = await makeCertificate(folder, WEB_HOST, "ecdsa");
  await writeSite(`${folder}/www`, users);
  const program = new URL("../app_backend.ts", import.meta.url).pathname;
  const app = network.start("server", [
    ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    ...[`--allow-net=${APP.hostname}:${APP.port}`, program],
  ], { env: { NO_COLOR: "1", ...denoCache() } });
  const plan: AppPlan = { ...APP, answers: appAnswers(users) };
  await app.write(JSON.stringify(plan));
  await app.closeInput();
  await network.listening(APP.port, 20_000);
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    configuration(folder, network.serverAddresses, key, certificate),
  );
  network.start("server", commandOf(folder));
  await network.listening(443);
}
