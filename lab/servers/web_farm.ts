import type { AppsNetwork } from "../apps/network.ts";
import { BACKEND } from "../apps/backend.ts";
import type { Origin } from "../apps/applications.ts";
import { type Operator, operatorOf } from "../apps/operators.ts";
import { denoCache } from "../network.ts";
import { makeOperatorCertificates } from "./operator_certificates.ts";

/** A variable's name for an operator's cookie. */
const cookieOf = (domain: string) => `$cookie_of_${domain.replaceAll(/[^a-z0-9]/g, "_")}`;

const headers = ({ domain, policy }: Operator) => `
      add_header Content-Security-Policy-Report-Only "${policy}";
      add_header Set-Cookie ${cookieOf(domain)};`;

const server = ({ name, address, http2, keepAlive }: Origin, folder: string) => {
  const operator = operatorOf(name);
  return `
  server {
    listen ${address}:443 ssl${http2 ? " http2" : ""};
    server_name ${name};
    ssl_certificate ${folder}/${operator.domain}.crt;
    ssl_certificate_key ${folder}/${operator.domain}.key;
    ssl_protocols TLSv1.2${operator.tls === "TLSv1.2" ? "" : " TLSv1.3"};
    keepalive_timeout ${keepAlive}s;
    location /media/ {
      root ${folder};
      add_header Access-Control-Allow-Origin *;
      add_header Cache-Control no-store;${headers(operator)}
    }
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 600s;${headers(operator)}
    }
  }
`;
};

/** A browser that has no cookie of the operator's is given one. */
const cookie = ({ domain, cookie }: Operator) =>
  `  map $cookie_id ${cookieOf(domain)} { "" "id=${cookie}; Domain=${domain}; Path=/; ` +
  `Max-Age=86400; Secure; SameSite=None"; default ""; }`;

const configuration = (
  folder: string,
  origins: readonly Origin[],
  operators: readonly Operator[],
) => `
daemon off;
user root;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 2048; }
http {
  types {
    text/javascript js; video/mp4 mp4; video/iso.segment m4s; application/vnd.apple.mpegurl m3u8;
  }
  access_log off;
  sendfile on;
  tcp_nodelay on;
  server_names_hash_bucket_size 128;
  map_hash_bucket_size 1024;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  upstream backend { server ${BACKEND.hostname}:${BACKEND.port}; keepalive 32; }
  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
${operators.map(cookie).join("\n")}
${origins.map((origin) => server(origin, folder)).join("")}
}
`;

/**
 * Starts nginx for all `origins`, each at its own address on port 443, with one backend behind; what is in
 * `<folder>/media` is served from the disk.
 */
export async function startWebFarm(
  network: AppsNetwork,
  folder: string,
  origins: readonly Origin[],
): Promise<void> {
  const operators = await makeOperatorCertificates(folder, origins.map(({ name }) => name));
  const program = new URL("../apps/backend.ts", import.meta.url).pathname;
  network.start(network.outside, [
    ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    ...[`--allow-net=${BACKEND.hostname}:${BACKEND.port}`, program],
  ], { env: { NO_COLOR: "1", ...denoCache() } });
  await network.listening(BACKEND.port);
  await Deno.writeTextFile(`${folder}/nginx.conf`, configuration(folder, origins, operators));
  network.start(network.outside, [
    ...["nginx", "-e", "stderr", "-p", folder, "-c", `${folder}/nginx.conf`],
  ]);
  await network.listening(443);
}
