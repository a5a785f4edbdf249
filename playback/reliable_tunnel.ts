/** What a filled buffer holds, in bytes: they sum to the buffer's length. */
export interface Composition {
  /** Frames of ours: headers, acknowledgements, credit, plans. */
  readonly control: number;
  /** User data. */
  readonly data: number;
  /** Zero bytes. */
  readonly padding: number;
}

/**
 * The part of the reliable tunnel that the engine drives. Cover connections are named by numbers that
 * both ends share (`session`, `serial`, packed by the engine); any of them may carry any stream's bytes.
 */
export interface TunnelPort {
  /**
   * Fills `buffer` for cover connection `connection`: frames put in with
   * {@linkcode TunnelPort.sendControl} for it, then control frames, then user data unless `dataAllowed`
   * is false, then padding. Never fails and always fills it whole.
   */
  fill(connection: number, buffer: Uint8Array, dataAllowed: boolean): Composition;
  /**
   * From now on connection `connection` is filled by {@linkcode TunnelPort.fillFree}; `wake` is called when
   * there is something to fill it with, perhaps more often, and perhaps within other calls.
   */
  flow(connection: number, wake: () => void): void;
  /**
   * Puts what there is for connection `connection` at the head of `buffer`, without padding: all zero if there
   * is nothing. Acknowledgements alone wait until they are worth it, or `patient` is false.
   */
  fillFree(connection: number, buffer: Uint8Array, patient: boolean): Composition;
  /** Whether acknowledgements wait that no data has taken along. */
  readonly owesAcks: boolean;
  /** Takes bytes that arrived on a cover connection, in order. Throws on bytes that make no sense. */
  receive(connection: number, bytes: Uint8Array): void;
  /** A cover connection exists from now on. */
  connectionOpened(connection: number): void;
  /**
   * A cover connection is gone. `clean`: all planned bytes were written and the peer closed by FIN, so
   * its last acknowledgement is waited for; otherwise unacknowledged bytes are sent again.
   */
  connectionClosed(connection: number, clean: boolean): void;
  /** Queues an engine frame (a plan, a set-up, the backlog) to go ahead of user data. */
  sendControl(type: number, body: Uint8Array, connection?: number): void;
  /** Told of every engine frame that arrives. */
  onControl: ((connection: number, type: number, body: Uint8Array) => void) | undefined;
  /** Bytes of user data that wait to be sent (for `demand` scheduling). */
  readonly backlog: number;
  /** Open user streams. */
  readonly streams: number;
  /** Told when `backlog` or `streams` rises from zero. */
  onDemand: (() => void) | undefined;
}
