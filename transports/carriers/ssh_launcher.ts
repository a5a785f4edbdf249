import { BACKLOG } from "./ssh_backlog.ts";
import { SSH_GRID } from "./ssh_connection.ts";

/** What the launcher says on stderr when the program has taken all that was written. */
export const TAKEN = "trafficmimic: taken";

/** Bytes of a connection from which on its backlog may have to be asked for, and milliseconds without a frame in which that is prepared. */
const MANY = 16 * 1024, QUIET = 5;

/**
 * A program for perl that starts `ssh` with the arguments that follow it, and hands it what is written to its stdin: in
 * frames (a length of 4 bytes, then the bytes), each of them one write into a pipe that `ssh` has read empty, while
 * little waits inside `ssh` for the network, so that each becomes one packet. Runtimes cannot ask a pipe whether it is empty. A frame without length asks for
 * {@linkcode TAKEN}. The process that was started is `ssh` itself.
 */
export const LAUNCHER = `use strict;
my $FIONREAD = 0x541b;
pipe(my $read, my $write) or exit 1;
my $ssh = $$;
defined(my $child = fork) or exit 1;
if ($child) {
  close $write;
  open(STDIN, "<&", $read) or exit 1;
  close $read;
  exec @ARGV or exit 1;
}
close $read;
close STDOUT;
my ($bytes, $full) = ("", 1);
sub more { sysread(STDIN, $bytes, 65536, length $bytes) or drained(), exit 0 }
sub taken {
  my $waiting = pack("i", 0);
  return !ioctl($write, $FIONREAD, $waiting) || unpack("i", $waiting) == 0;
}
# It takes milliseconds.
sub request {
  my %sockets;
  opendir(my $folder, "/proc/$ssh/fd") or return "";
  $sockets{readlink("/proc/$ssh/fd/$_") // ""} = 1 for readdir $folder;
  for my $family (2, 10) {
    open(my $table, "<", $family == 2 ? "/proc/net/tcp" : "/proc/net/tcp6") or next;
    while (my $line = <$table>) {
      my ($local, $remote, $inode) = (split " ", $line)[1, 2, 9];
      next if !$sockets{"socket:[$inode]"};
      my (@addresses, @ports);
      for ($local, $remote) {
        my ($address, $port) = split /:/;
        push @addresses, pack("L*", map { hex } $address =~ /.{8}/g);
        push @ports, hex $port;
      }
      return question($family, \\@addresses, \\@ports);
    }
  }
  return "";
}
${BACKLOG}
sub drained {
  for (my $pause = 0.00005; !taken(); $pause *= 2) {
    exit 0 if getppid() != $ssh;
    $pause = 0.0005 if $pause > 0.0005;
    select(undef, undef, undef, $pause);
  }
}
sub room {
  for (my $pause = 0.00025; crowded(); $pause *= 2) {
    exit 0 if getppid() != $ssh;
    $pause = 0.004 if $pause > 0.004;
    select(undef, undef, undef, $pause);
  }
}
sub quiet {
  my $reads = "";
  vec($reads, 0, 1) = 1;
  return !select($reads, undef, undef, ${QUIET / 1000});
}
while (1) {
  prepare() if !defined $request && $held > ${MANY} && $bytes eq "" && quiet();
  more() while length $bytes < 4;
  my $size = unpack("N", $bytes);
  more() while length $bytes < 4 + $size;
  room() if $size > 0;
  # What fills a packet is never joined with what follows.
  drained() if $size == 0 || !$full;
  $full = $size == ${SSH_GRID.maxPayload};
  syswrite(STDERR, "${TAKEN}\\n") if $size == 0;
  for (my $at = 4; $at < 4 + $size;) {
    $at += syswrite($write, $bytes, 4 + $size - $at, $at) || exit 0;
  }
  handed($size) if $size > 0;
  substr($bytes, 0, 4 + $size) = "";
}
`;
