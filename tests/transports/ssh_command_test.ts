import assert from "node:assert/strict";
import net from "node:net";
import type { CarrierConnection, Command } from "../../transports/carriers/carrier.ts";
import { SSH_GRID, sshCarrier } from "../../transports/carriers/ssh.ts";
import { nameIn } from "../../transports/carriers/ssh_bridge.ts";
import { Collector } from "./helpers.ts";
import { noise } from "./world.ts";

const works = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
const HAS_SSH = await works("/usr/bin/ssh", "-V") && await works("test", "-x", "/usr/sbin/sshd");
const HOST = "127.0.0.1";

/** What crossed, counted: the sum tells the sizes of packets, each of which is a multiple of its own. */
class Counter {
  up = 0;
  down = 0;
  readonly #listener: net.Server;

  constructor(port: number) {
    this.#listener = net.createServer({ noDelay: true }, (near) => {
      const far = net.connect({ host: HOST, port, noDelay: true });
      near.on("data", (bytes: Uint8Array) => this.up += bytes.length);
      far.on("data", (bytes: Uint8Array) => this.down += bytes.length);
      for (const socket of [near, far]) socket.on("error", () => {});
      near.pipe(far);
      far.pipe(near);
      near.on("close", () => far.destroy());
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#listener.listen(0, HOST, resolve));
    return (this.#listener.address() as net.AddressInfo).port;
  }

  close(): void {
    this.#listener.close();
  }
}

Deno.test("ssh commands: only nine letters of base64url, perhaps with dots, are a name", () => {
  for (const name of ["abcdefghi", "-_cdefgh9", "123456789"]) {
    assert.equal(nameIn(name), name);
    assert.equal(nameIn(`${name}.....`), name);
  }
  const others = ["", "internal-sftp", "abcdefgh", "abcdefghij", "abcdefghi.a", "abcdefghi\n"];
  for (const other of others) assert.equal(nameIn(other), undefined, other);
});

Deno.test({
  name:
    "ssh commands: requests have the size asked for, whatever the name, and nothing else is said (needs OpenSSH)",
  ignore: !HAS_SSH,
  fn: async () => {
    const state = await Deno.makeTempDir();
    const secret = noise(32);
    const accepted: ((connection: CarrierConnection) => void)[] = [];
    const server = await sshCarrier.listen({
      hostname: HOST,
      port: 0,
      identity: undefined as never,
      secrets: [secret],
      state,
    }, (connection) => accepted.shift()!(connection));
    const counter = new Counter(server.port);
    const client = await sshCarrier.client({
      hostname: HOST,
      port: await counter.listen(),
      pin: server.pin,
      secret,
      ...(server.login === undefined ? {} : { login: server.login }),
    });
    const play = async (command?: Command) => {
      const there = Promise.withResolvers<CarrierConnection>();
      accepted.push(there.resolve);
      const before = { up: counter.up, down: counter.down };
      const [here, far] = await Promise.all([client.connect(command), there.promise]);
      assert.equal(here.command, command?.name);
      assert.equal(far.command, command?.name);
      assert.ok((here.age ?? 0) < 1000);
      const [atClient, atServer] = [new Collector(here), new Collector(far)];

      const opened = { up: counter.up - before.up, down: counter.down - before.down };
      here.write(noise(2));
      await atServer.waitFor(2);
      far.write(noise(1000));
      await atClient.waitFor(1000);
      here.write(noise(2));
      here.write(noise(26));
      await atServer.waitFor(30);
      const played = {
        up: counter.up - before.up - opened.up,
        down: counter.down - before.down - opened.down,
      };
      assert.deepEqual(played, { up: 36 + 36 + 60, down: 20 + 8 * Math.ceil(1014 / 8) });
      here.close("fin");
      await atServer.closed;
      far.close("fin");
      return opened;
    };
    try {
      // The first connection asks for the server's key in another way.
      await play();
      const usual = await play();
      const { answer, smallest, step } = SSH_GRID.opening!.command!;
      const names = ["abcdefghi", "-scdefghi", "--_______", "_________", "a-------9"];
      for (const [i, name] of names.entries()) {
        const size = smallest + step * [0, 1, 2, 6, 31][i]!;
        const { down, up } = await play({ name, size });
        assert.equal(up, usual.up - 52 - 44 + size, name);
        assert.equal(down, usual.down - 72 - 356 + answer, name);
      }
    } finally {
      await client.close();
      await server.close();
      counter.close();
      await Deno.remove(state, { recursive: true });
    }
  },
});
