import { Lateness } from "./lateness.ts";

/** What an engine counts while it plays. */
export class EngineStats {
  /** Cover connections opened. */
  opened = 0;
  /** Of these, played to the end of their plan. */
  completed = 0;
  /** Of these, ended otherwise: broken, closed early, stalled, refused. */
  unclean = 0;
  /** Of the unclean, given up after the stall deadline. */
  stalled = 0;
  /** Dials that failed; each is tried again. */
  dialFailures = 0;
  /** Connections whose plan was drawn again because its first message was too small. */
  redrawn = 0;
  /** Connections whose messages were enlarged: no draw was large enough, or a plan had to fit. */
  enlarged = 0;
  /** Connections that sent their plan in their own messages. */
  inline = 0;
  /** Connections that an end which is not master drew itself: the first, and where the master was not heard. */
  unled = 0;
  /** Connections that waited: for the slave's first answer, the limit of open ones, or after failed dials. */
  delayed = 0;
  /** Records written. */
  records = 0;
  /** Bytes written on the wire, the carrier's overhead included. */
  wire = 0;
  /** Payload bytes of control frames and proofs written. */
  control = 0;
  /** Payload bytes of user data written. */
  data = 0;
  /** Payload bytes of padding written. */
  padding = 0;
  /** Payload bytes received. */
  received = 0;
  /** How late opens, messages and closes were, in milliseconds, after what they answer was reported to this node. */
  readonly lateness: Lateness = new Lateness();
  /** The same, were what they answer as long on this machine before it was reported as it may have been: no later than this. */
  readonly latenessAtMost: Lateness = new Lateness();
}
