import type { Socket } from "node:net";

/** The sockets that a handler opened, which end with it. */
export class OwnSockets {
  readonly #sockets: Socket[] = [];

  /** Takes a socket over once it stands. */
  async add(socket: Promise<Socket>): Promise<Socket> {
    const opened = await socket;
    this.#sockets.push(opened);
    return opened;
  }

  /** Closes each once what was written to it has been sent. */
  end(): void {
    for (const socket of this.#sockets) socket.destroySoon();
  }

  /** Destroys each. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
