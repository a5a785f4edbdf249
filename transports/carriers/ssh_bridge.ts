import { Buffer } from "node:buffer";
import { randomBytes, timingSafeEqual } from "node:crypto";
import net, { type Socket } from "node:net";
import { BACKLOG } from "./ssh_backlog.ts";
import {
  SFTP_ANSWER,
  SFTP_HELLO,
  SSH_GRID,
  type SshChannel,
  type SshChannelEvents,
} from "./ssh_connection.ts";
import { PERL } from "./ssh_program.ts";

/** Bytes of what a bridge shows first, so that no other user of the machine gets as far. */
const KEY_LENGTH = 32;
/** The most bytes that a bridge says of its session. */
const MAX_GREETING = 65_536;
/** Milliseconds that a bridge may take to show its key: it writes it as soon as it is connected. */
const GREETING_DEADLINE = 10_000;
/** Connections at most that have not shown the key: any user of the machine may open some. The oldest goes first. */
const MAX_UNKNOWN = 256;

/**
 * The forced command's program. It joins the session's pipes to the server's socket: first it shows the key and says, in a frame (a
 * length of 4 bytes, then the bytes), who the client is and what he asked for; then what he sends, as it comes. What
 * the server sends it comes in frames, and each frame is one write into sshd's pipe, made when sshd has read the one
 * before: so each is one packet on the wire. A frame without length ends that direction. Before all that it answers the
 * client's first message as SFTP's server does, in a packet of its size and as soon; but not where the client asked for
 * a command that is a name (nine letters of base64url, then dots).
 */
const bridge = (port: number, key: string) =>
  `# Joins a session of sshd to the server's socket. Written anew at each start.
# Numbers are Linux's: the modules that know them take longer to load than all the rest.
use strict;
my ($AF_INET, $SOCK_STREAM, $IPPROTO_TCP, $TCP_NODELAY) = (2, 1, 6, 1);
my ($F_GETFL, $F_SETFL, $O_NONBLOCK, $FIONREAD, $EAGAIN) = (3, 4, 04000, 0x541b, 11);

my $hello = "";
my $named = ($ENV{SSH_ORIGINAL_COMMAND} // "") =~ /^[A-Za-z0-9_-]{9}\\.*\\z/;
while (!$named && length $hello < ${SFTP_HELLO}) {
  sysread(STDIN, $hello, ${SFTP_HELLO} - length $hello, length $hello) or exit 1;
}
syswrite(STDOUT, "\\0" x ${SFTP_ANSWER}) if !$named;

my $largest = ${SSH_GRID.maxPayload};
socket(my $node, $AF_INET, $SOCK_STREAM, 0) or exit 1;
connect($node, pack("S n a4 x8", $AF_INET, ${port}, pack("C4", 127, 0, 0, 1))) or exit 1;
setsockopt($node, $IPPROTO_TCP, $TCP_NODELAY, 1) or exit 1;
my $up = join("\\n", $ENV{SSH_CONNECTION} // "", $ENV{SSH_ORIGINAL_COMMAND} // "");
$up = pack("H*", "${key}") . pack("N", length $up) . $up;
fcntl($_, $F_SETFL, fcntl($_, $F_GETFL, 0) | $O_NONBLOCK) or exit 1 for *STDIN, *STDOUT, $node;
my ($in, $out) = (1, 1);
my ($down, $frame, $pause) = ("", "", 0);
# What fills a packet is never joined with what follows.
my $full = 0;

sub taken {
  my $waiting = pack("i", 0);
  return !ioctl(STDOUT, $FIONREAD, $waiting) || unpack("i", $waiting) == 0;
}

sub packed {
  my ($text) = @_;
  return pack("C4", split /\\./, $text) if $text !~ /:/;
  $text =~ s/%.*//;
  my ($front, $back) = map { [map { hex } split /:/] } split(/::/, $text, 2), "";
  return pack("n8", @$front, (0) x (8 - @$front - @$back), @$back);
}
# Not looked for in /proc/net/tcp: that takes milliseconds.
sub request {
  my ($address, $port, $own, $ownPort) = split / /, $ENV{SSH_CONNECTION};
  my $family = $address =~ /:/ ? 10 : 2;
  return question($family, [packed($own), packed($address)], [$ownPort, $port]);
}
${BACKLOG}
# Seconds at most until sshd is asked again.
my $patience = 0;

# Whether a frame waits for sshd to read the one before, or to get rid of what it has read.
sub forward {
  while ($out) {
    if ($frame eq "") {
      return 0 if length($down) < 4;
      my $size = unpack("N", $down);
      return 0 if length($down) < 4 + $size;
      $patience = 0.0005;
      return 1 if !$full && !taken();
      $patience = 0.004;
      return 1 if $size > 0 && crowded();
      $frame = substr($down, 4, $size);
      substr($down, 0, 4 + $size) = "";
      $full = $size == $largest;
      if ($size == 0) {
        close STDOUT;
        $out = 0;
        return 0;
      }
      handed($size);
    }
    my $put = syswrite(STDOUT, $frame);
    return 0 if !defined $put;
    substr($frame, 0, $put) = "";
    return 0 if $frame ne "";
  }
  return 0;
}

while ($in || $out || $up ne "") {
  my ($reads, $writes) = ("", "");
  vec($reads, 0, 1) = 1 if $in && $up eq "";
  vec($reads, fileno($node), 1) = 1 if length($down) < 65536;
  vec($writes, fileno($node), 1) = 1 if $up ne "";
  vec($writes, 1, 1) = 1 if $frame ne "";
  select($reads, $writes, undef, $pause > 0 ? $pause : undef);
  if (vec($reads, 0, 1)) {
    my $got = sysread(STDIN, $up, 65536);
    if (defined $got ? $got == 0 : $! != $EAGAIN) {
      $in = 0;
      shutdown($node, 1);
    }
  }
  if ($up ne "") {
    my $put = syswrite($node, $up);
    exit 1 if !defined $put && $! != $EAGAIN;
    substr($up, 0, $put // 0) = "";
  }
  if (vec($reads, fileno($node), 1)) {
    my $got = sysread($node, $down, 65536, length $down);
    exit 1 if defined $got ? $got == 0 : $! != $EAGAIN;
  }
  my $waits = forward();
  $pause = !$waits ? 0 : $pause == 0 ? 0.00005 : 2 * $pause < $patience ? 2 * $pause : $patience;
}
`;

/** The name in what a client asked to run, if it is one. */
export function nameIn(command: string): string | undefined {
  return /^([A-Za-z0-9_-]{9})\.*$/.exec(command)?.[1];
}

/** What a bridge says of its session. */
export interface BridgedSession {
  /** The client's address; empty if sshd does not say. */
  readonly address: string;
  /** The client's port. */
  readonly port: number;
  /** Our own port. */
  readonly localPort: number;
  /** What the client asked to run. */
  readonly command: string;
}

/** Where sessions of sshd meet our server: a port of 127.0.0.1, and a program that joins them to it. */
export class SshBridge {
  readonly #server: net.Server;
  readonly #file: string;
  readonly #key: Uint8Array;
  readonly #unknown: ReadonlySet<Socket>;

  private constructor(
    server: net.Server,
    file: string,
    key: Uint8Array,
    unknown: ReadonlySet<Socket>,
  ) {
    this.#server = server;
    this.#file = file;
    this.#key = key;
    this.#unknown = unknown;
  }

  /**
   * Listens for bridges, `limit` at most, whose program is to be in the file `file`. `onSession` gets each when it has
   * shown the key and said whose it is. Whoever has not shown it takes no bridge's place, and is dropped soon.
   */
  static async listen(
    file: string,
    limit: number,
    onSession: (session: BridgedSession, channel: SshChannel) => void,
  ): Promise<SshBridge> {
    const key = new Uint8Array(randomBytes(KEY_LENGTH));
    const unknown = new Set<Socket>();
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const [oldest] = unknown;
      if (unknown.size >= MAX_UNKNOWN) oldest!.destroy();
      unknown.add(socket);
      const deadline = setTimeout(() => socket.destroy(), GREETING_DEADLINE);
      const known = () => {
        clearTimeout(deadline);
        unknown.delete(socket);
      };
      socket.once("close", known);
      greeted(socket, key, (session) => {
        socket.off("close", known);
        known();
        onSession(session, new BridgeChannel(socket));
      });
    });
    server.maxConnections = limit + MAX_UNKNOWN;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return new SshBridge(server, file, key, unknown);
  }

  /** What its file has to contain, for nobody else to read. */
  get program(): string {
    const { port } = this.#server.address() as net.AddressInfo;
    return bridge(port, Buffer.from(this.#key).toString("hex"));
  }

  /** What sshd runs for whoever has logged in, whatever he asks for. */
  get command(): string {
    return `exec ${PERL} '${this.#file.replaceAll("'", "'\\''")}' 2>/dev/null`;
  }

  /** Listens no more; sessions stay, whoever has not shown the key goes. */
  close(): void {
    this.#server.close();
    for (const socket of [...this.#unknown]) socket.destroy();
  }
}

/** Reads the bridge's greeting; what follows it stays in the socket. */
function greeted(
  socket: Socket,
  key: Uint8Array,
  onSession: (session: BridgedSession) => void,
): void {
  let seen = Buffer.alloc(0);
  const drop = (): void => void socket.destroy();
  const read = (bytes: Uint8Array): void => {
    seen = Buffer.concat([seen, bytes]);
    const head = KEY_LENGTH + 4;
    if (seen.length < head) return;
    const size = seen.readUInt32BE(KEY_LENGTH);
    if (size > MAX_GREETING || !timingSafeEqual(seen.subarray(0, KEY_LENGTH), key)) return drop();
    if (seen.length < head + size) return;
    socket.pause();
    socket.off("data", read);
    socket.off("end", drop);
    socket.off("error", drop);
    if (seen.length > head + size) socket.unshift(seen.subarray(head + size));
    const text = seen.subarray(head, head + size).toString("latin1");
    const line = text.indexOf("\n");
    const [address = "", port, , localPort] = text.slice(0, line).split(" ");
    onSession({
      address,
      port: Number(port) || 0,
      localPort: Number(localPort) || 0,
      command: text.slice(line + 1),
    });
  };
  socket.on("data", read);
  socket.on("end", drop);
  socket.on("error", drop);
}

/** A session's channel, by way of its bridge. */
class BridgeChannel implements SshChannel {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  start({ onClose, onData, onEnd, onError }: SshChannelEvents): void {
    const socket = this.#socket;
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("error", onError);
    socket.on("close", onClose);
    socket.resume();
  }

  get writable(): boolean {
    return this.#socket.writable;
  }

  write(payload: Uint8Array, taken: () => void): void {
    const frame = Buffer.allocUnsafe(4 + payload.length);
    frame.writeUInt32BE(payload.length);
    frame.set(payload, 4);
    this.#socket.write(frame, taken);
  }

  end(): void {
    this.#socket.write(new Uint8Array(4));
  }

  drop(): void {
    this.#socket.destroy();
  }
}
