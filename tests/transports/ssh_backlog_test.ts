import assert from "node:assert/strict";
import type { CarrierConnection } from "../../transports/carriers/carrier.ts";
import { SSH_ADJUSTMENT, SSH_GRID, sshCarrier } from "../../transports/carriers/ssh.ts";
import { Collector } from "./helpers.ts";
import { noise } from "./world.ts";

const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const HAS_SSH = await works("/usr/bin/ssh", "-V") && await works("test", "-x", "/usr/sbin/sshd");

/**
 * Relays one connection to the port that it is given, 16 KB a time and not more often than it is given milliseconds;
 * small segments keep the kernels' buffers small. A line on its standard input has it say how many bytes have
 * passed each way.
 */
const RELAY = String.raw`
use strict;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_MAXSEG);
$| = 1;
my ($port, $pause) = @ARGV;
my ($listener, $near, $far);
for ($listener, $far) {
  socket($_, AF_INET, SOCK_STREAM, 0) or die;
  setsockopt($_, IPPROTO_TCP, TCP_MAXSEG, pack("i", 1400)) or die;
}
bind($listener, sockaddr_in(0, INADDR_LOOPBACK)) && listen($listener, 1) or die;
print((sockaddr_in(getsockname($listener)))[0], "\n");
accept($near, $listener) or die;
connect($far, sockaddr_in($port, INADDR_LOOPBACK)) or die;
my %way = (fileno($near) => [$near, $far, 0], fileno($far) => [$far, $near, 0]);
while (1) {
  my $reads = "";
  vec($reads, $_, 1) = 1 for 0, keys %way;
  select($reads, undef, undef, undef);
  for my $way (map { vec($reads, $_, 1) ? $way{$_} : () } keys %way) {
    my ($from, $to) = @$way;
    my $size = sysread($from, my $bytes, 16384) or exit 0;
    $$way[2] += $size;
    for (my $at = 0; $at < $size;) { $at += syswrite($to, $bytes, $size - $at, $at) or exit 0 }
  }
  if (vec($reads, 0, 1)) {
    sysread(STDIN, my $line, 100) or exit 0;
    print "$way{fileno $near}[2] $way{fileno $far}[2]\n";
  }
  select(undef, undef, undef, $pause / 1000);
}`;

/** A network that lets 16 KB through in `pause` milliseconds, between two ends that are handed to `use`. */
async function withSlowNetwork(
  pause: number,
  use: (
    client: CarrierConnection,
    server: CarrierConnection,
    passed: () => Promise<{ up: number; down: number }>,
  ) => Promise<void>,
): Promise<void> {
  const hostname = "127.0.0.1";
  const accepted = Promise.withResolvers<CarrierConnection>();
  const secret = noise(32);
  const state = await Deno.makeTempDir();
  const server = await sshCarrier.listen(
    { hostname, port: 0, identity: undefined as never, secrets: [secret], state },
    accepted.resolve,
  );
  const relay = new Deno.Command("perl", {
    args: ["-e", RELAY, String(server.port), String(pause)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const said = relay.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const asked = relay.stdin.getWriter();
  const { login, pin } = server;
  const client = await sshCarrier.client({
    hostname,
    port: Number((await said.read()).value),
    pin,
    secret,
    ...(login === undefined ? {} : { login }),
  });
  try {
    await use(await client.connect(), await accepted.promise, async () => {
      await asked.write(new TextEncoder().encode("\n"));
      const [up, down] = (await said.read()).value!.split(" ").map(Number);
      return { up: up!, down: down! };
    });
  } finally {
    await client.close();
    await server.close();
    await asked.close().catch(() => {});
    await said.cancel();
    await relay.status;
    await Deno.remove(state, { recursive: true });
  }
}

const wire = (size: number) => 20 + 8 * Math.ceil((14 + size) / 8);

for (const pause of [1, 10]) {
  Deno.test({
    name:
      `ssh: packets are not joined where a network that takes 16 KB in ${pause} ms holds them up (needs OpenSSH)`,
    ignore: !HAS_SSH,
    fn: async () => {
      const full = SSH_GRID.maxPayload;
      const message = [full, full, full, full, full, full, 13_674, 2474, 2, 100, full, 2];
      const packets = [...message, ...message];
      const payload = packets.reduce((sum, size) => sum + size, 0);
      const planned = packets.reduce((sum, size) => sum + wire(size), 0);
      await withSlowNetwork(pause, async (client, server, passed) => {
        const [atClient, atServer] = [new Collector(client), new Collector(server)];
        const before = await passed();
        for (const size of packets) {
          const bytes = noise(size);
          client.write(bytes);
          server.write(bytes);
        }
        await Promise.all([atServer.waitFor(payload), atClient.waitFor(payload)]);
        const after = await passed();
        for (const way of ["up", "down"] as const) {
          // Besides, each end tells the other to go on, more often where its own reader lags behind. Of packets that
          // become one, 28 or 36 bytes are missing for each.
          const more = after[way] - before[way] - planned;
          const adjustments = more / SSH_ADJUSTMENT.size;
          const most = 4 * payload / SSH_ADJUSTMENT.after;
          assert.ok(
            Number.isInteger(adjustments) && adjustments >= 0 && adjustments <= most,
            `${way}: ${more} bytes more than planned`,
          );
        }
      });
    },
  });
}
