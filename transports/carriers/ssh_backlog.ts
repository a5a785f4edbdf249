/**
 * Bytes that may wait inside `ssh` or `sshd` before more is handed over: where 128 KB wait there for a slow network,
 * it reads on but makes no packets, and one later of all that it has read. What is handed over next counts, and what
 * has been found out may have changed a little.
 */
const MOST_HELD = 80 * 1024;

/**
 * A part of a perl program that hands packets to one of OpenSSH's through a pipe: `handed(SIZE)` is to be called with each
 * packet's payload, and `crowded()` tells whether the next had better wait. Bytes inside the other program are those handed
 * over, less those that the kernel has had from it: it tells anybody for any TCP connection how many are acknowledged and
 * how many are not (sock_diag(7), since Linux 4.1). It is asked only where many may wait, and not again if it does not say.
 *
 * The program has `taken()`, whether the pipe is empty, and `request()`, the `question(FAMILY, [OURS, PEERS], [PORTS])`
 * of its connection; it may have it made in a quiet moment by `prepare()`.
 */
export const BACKLOG = `
# Bytes on the wire that were handed over, and those of them that may wait.
my ($handed, $held) = (0, 0);
my ($kernel, $request);

sub handed {
  my $packet = 20 + 8 * int(($_[0] + 21) / 8);
  $handed += $packet;
  $held += $packet;
}

# What to ask of a connection: its family, both addresses (ours first) and both ports. Numbers are Linux's:
# SOCK_DIAG_BY_FAMILY, INET_DIAG_INFO and so on.
sub question {
  my ($family, $addresses, $ports) = @_;
  socket($kernel, 16, 3, 4) or return "";
  return pack("LSSLL CCCCL nn a16 a16 LLL", 72, 20, 1, 1, 0,
    $family, 6, 2, 0, 0xffffffff, @$ports, @$addresses, 0, 0xffffffff, 0xffffffff);
}

sub prepare {
  $request = eval { request() } // "" if !defined $request;
}

# Bytes that the kernel has had, and those of them that are not acknowledged.
sub written {
  prepare();
  return if $request eq "" || !send($kernel, $request, 0);
  return if !defined recv($kernel, my $answer, 8192, 0x40);
  return if length $answer < 88 || unpack("x4 S", $answer) != 20;
  my $queue = unpack("x76 L", $answer);
  for (my $at = 88; $at + 4 <= length $answer;) {
    my ($size, $type) = unpack("x$at SS", $answer);
    return if $size < 4 || $at + $size > length $answer;
    return ($queue + unpack("x$at x124 Q", $answer), $queue) if $type == 2 && $size >= 132;
    $at += ($size + 3) & ~3;
  }
  return;
}

sub crowded {
  return 0 if $held <= ${MOST_HELD} || defined $request && $request eq "";
  my ($written, $queue) = written();
  if (!defined $written) {
    $request = "";
    return 0;
  }
  # The other program says a little of its own accord.
  $handed = $written if $written > $handed || $queue == 0 && taken();
  $held = $handed - $written;
  return $held > ${MOST_HELD} && $queue > 0;
}
`;
