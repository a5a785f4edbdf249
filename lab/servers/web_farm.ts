import type { AppsNetwork } from "../apps/network.ts";
import { BACKEND } from "../apps/backend.ts";
import type { Origin } from "../apps/applications.ts";
import { denoCache } from "../network.ts";
import { run } from "../process.ts";

const server = ({ name, address, http2, keepAlive }: Origin, folder: string) => `
  server {
    listen ${address}:443 ssl${http2 ? " http2" : ""};
    server_name ${name};
    keepalive_timeout ${keepAlive}s;
    location /media/ {
      root ${folder};
      add_header Access-Control-Allow-Origin *;
      add_header Cache-Control no-store;
    }
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 600s;
    }
  }
`;

const configuration = (folder: string, origins: readonly Origin[]) => `
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
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  ssl_certificate ${folder}/farm.crt;
  ssl_certificate_key ${folder}/farm.key;
  ssl_protocols TLSv1.2 TLSv1.3;
  upstream backend { server ${BACKEND.hostname}:${BACKEND.port}; keepalive 32; }
  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
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
  await run([
    ...["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec"],
    ...["-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", `${folder}/farm.key`],
    ...["-out", `${folder}/farm.crt`, "-subj", "/CN=farm.test", "-addext"],
    `subjectAltName=${origins.map(({ name }) => `DNS:${name}`).join(",")}`,
  ], 30_000);
  const program = new URL("../apps/backend.ts", import.meta.url).pathname;
  network.start(network.outside, [
    ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-remote", "--cached-only"],
    ...[`--allow-net=${BACKEND.hostname}:${BACKEND.port}`, program],
  ], { env: { NO_COLOR: "1", ...denoCache() } });
  await network.listening(BACKEND.port);
  await Deno.writeTextFile(`${folder}/nginx.conf`, configuration(folder, origins));
  network.start(network.outside, [
    ...["nginx", "-e", "stderr", "-p", folder, "-c", `${folder}/nginx.conf`],
  ]);
  await network.listening(443);
}
