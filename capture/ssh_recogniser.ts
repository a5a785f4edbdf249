import type { Side } from "./side.ts";
import type {
  ConnectionView,
  HandshakeEnd,
  ProtocolRecogniser,
  RecogniserState,
  StreamRecogniser,
} from "./handshake_recogniser.ts";
import { estimateSshHandshake } from "./ssh_estimate.ts";
import { withExtensionInfo } from "./ssh_extension_info.ts";

const NEWKEYS = 21;
/** RFC 4253, section 6.1 asks for 35000; key exchanges with large groups or post-quantum keys stay below. */
const MAX_PACKET = 1 << 18;
/** Lines that a server may send before its version (RFC 4253, section 4.2). */
const MAX_BANNER = 8192;

class SshSide {
  offset = 0;
  /** The line so far, while the version exchange lasts; undefined afterwards. */
  line: string | undefined = "";
  banner = 0;
  have = 0;
  length = 0;
  remaining = 0;
  lost = false;
  handshakeEnd = -1;
}

/**
 * Follows an SSH connection (RFC 4253) to the NEWKEYS of both sides, and past the EXT_INFO that a server
 * sends unasked behind its own ({@linkcode withExtensionInfo}).
 */
export class SshStreamRecogniser implements StreamRecogniser {
  /** See {@linkcode StreamRecogniser.state}. */
  state: RecogniserState = "open";
  /** See {@linkcode StreamRecogniser.carrier}. */
  readonly carrier: string = "ssh";
  /** See {@linkcode StreamRecogniser.version}. */
  version: string | undefined = undefined;

  readonly #sides: readonly [SshSide, SshSide] = [new SshSide(), new SshSide()];

  /** See {@linkcode StreamRecogniser.bytes}. */
  bytes(side: Side, buffer: Uint8Array, start: number, end: number): void {
    const reader = this.#sides[side];
    let at = start;
    while (at < end && !reader.lost && reader.handshakeEnd < 0) {
      if (reader.line !== undefined) {
        this.#character(side, reader, buffer[at++]!);
      } else if (reader.have < 6) {
        this.#headerByte(reader, buffer[at++]!);
      } else {
        const length = Math.min(reader.remaining, end - at);
        reader.remaining -= length;
        reader.offset += length;
        at += length;
        if (reader.remaining === 0) this.#packetEnd(reader);
      }
    }
  }

  /** See {@linkcode StreamRecogniser.gap}. */
  gap(side: Side, length: number): void {
    const reader = this.#sides[side];
    if (reader.lost || reader.handshakeEnd >= 0) return;
    if (reader.line === undefined && reader.have === 6 && length <= reader.remaining) {
      reader.remaining -= length;
      reader.offset += length;
      if (reader.remaining === 0) this.#packetEnd(reader);
    } else this.#lose(reader);
  }

  /** See {@linkcode StreamRecogniser.handshake}. */
  handshake(view: ConnectionView): HandshakeEnd | undefined {
    const [client, server] = this.#sides;
    if (client.handshakeEnd < 0 || server.handshakeEnd < 0) return undefined;
    const bytes = [client.handshakeEnd, server.handshakeEnd] as const;
    return { ...withExtensionInfo(view.segments, bytes), version: this.version };
  }

  #character(side: Side, reader: SshSide, byte: number): void {
    reader.offset++;
    if (byte === 0x0a) {
      const line = reader.line!;
      const match = /^SSH-([0-9]+\.[0-9]+)-/.exec(line);
      if (match === null) {
        // Only a server may talk before its version.
        if (side === 0) return this.#lose(reader);
        reader.banner += line.length + 1;
        if (reader.banner > MAX_BANNER) return this.#lose(reader);
        reader.line = "";
        return;
      }
      this.state = "recognised";
      const version = match[1]!;
      // 1.99 is a server that speaks 2.0 as well; what is spoken is the lower of the two.
      const spoken = version === "1.99" ? "2.0" : version;
      if (this.version === undefined || spoken < this.version) this.version = spoken;
      reader.line = undefined;
      if (spoken.startsWith("1.")) this.#lose(reader);
      return;
    }
    if (reader.line!.length >= 1024) return this.#lose(reader);
    reader.line += String.fromCharCode(byte);
    if (
      reader.line!.length === 4 && reader.line !== "SSH-" && (side === 0 || this.#numeric(reader))
    ) {
      this.#lose(reader);
    }
  }

  /** Three digits and a separator open the answers of SMTP and FTP, not a banner. */
  #numeric(reader: SshSide): boolean {
    return /^[0-9]{3}[ -]/.test(reader.line!);
  }

  #headerByte(reader: SshSide, byte: number): void {
    reader.offset++;
    reader.have++;
    if (reader.have <= 4) {
      reader.length = reader.length * 256 + byte;
      if (reader.have === 4 && (reader.length < 5 || reader.length > MAX_PACKET)) {
        this.#lose(reader);
      }
      return;
    }
    if (reader.have === 6) {
      reader.remaining = reader.length - 2;
      if (byte === NEWKEYS) {
        reader.handshakeEnd = reader.offset + reader.remaining;
        this.#checkDone();
      }
    }
  }

  #packetEnd(reader: SshSide): void {
    reader.have = 0;
    reader.length = 0;
  }

  #lose(reader: SshSide): void {
    reader.lost = true;
    if (this.state === "open") this.state = "rejected";
    else this.#checkDone();
  }

  #checkDone(): void {
    const [client, server] = this.#sides;
    const ended = (side: SshSide) => side.lost || side.handshakeEnd >= 0;
    if (this.state === "recognised" && ended(client) && ended(server)) this.state = "done";
  }
}

/** SSH, versions 2.0 and 1.99; SSH 1 is recognised, but the end of its handshake is not. */
export const SSH: ProtocolRecogniser = {
  carrier: "ssh",
  ports: [22],
  create: () => new SshStreamRecogniser(),
  estimate: estimateSshHandshake,
};
