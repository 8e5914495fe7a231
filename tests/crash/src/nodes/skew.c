/* A wall clock that is wrong by SKEW_MS; the monotonic one is not. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
  static long ms, known;
  int failed = (int)syscall(SYS_clock_gettime, clock, at);
  if (failed || clock != CLOCK_REALTIME) return failed;
  if (!known) {
    const char *set = getenv("SKEW_MS");
    ms = set ? strtol(set, NULL, 10) : 0;
    known = 1;
  }
  long nanos = at->tv_nsec + (ms % 1000) * 1000000;
  at->tv_sec += ms / 1000 + (nanos < 0 ? -1 : nanos / 1000000000);
  at->tv_nsec = nanos < 0 ? nanos + 1000000000 : nanos % 1000000000;
  return 0;
}
