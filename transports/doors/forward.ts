import { UsageError } from "../../base/mod.ts";
import { type Address, AddressError, formatAddress, parseAddress } from "./address.ts";
import { copyBothWays } from "./copy.ts";
import { type Door, listenDoor, type OpenStream } from "./door.ts";
import type { TurnBudget } from "./turn_budget.ts";

/** A local address and the destination that it leads to. */
export interface Forward {
  /** Where the door listens. */
  readonly local: Address;
  /** Where each connection to it goes. */
  readonly destination: Address;
}

/**
 * Reads LOCAL=HOST:PORT, where LOCAL is a port or HOST:PORT.
 *
 * @throws {UsageError} if it is something else.
 */
export function parseForward(text: string): Forward {
  const at = text.indexOf("=");
  if (at < 0) {
    throw new UsageError(`--forward ${JSON.stringify(text)}: expected LOCAL=HOST:PORT`);
  }
  const destination = parseAddress(text.slice(at + 1), "--forward");
  if (destination.port === 0) throw new AddressError("--forward", text);
  return { local: parseAddress(text.slice(0, at), "--forward", "127.0.0.1"), destination };
}

/**
 * A door that leads every connection to one destination.
 *
 * @throws {ListenError} if the address cannot be had.
 */
export function listenForward(
  { local, destination }: Forward,
  open: OpenStream,
  budget: TurnBudget,
): Promise<Door> {
  const kind = `forward to ${formatAddress(destination)}`;
  return listenDoor(local, kind, "--forward", (socket) => {
    let stream;
    try {
      stream = open(destination);
    } catch {
      socket.resetAndDestroy();
      return;
    }
    void copyBothWays(socket, stream, budget);
  });
}
