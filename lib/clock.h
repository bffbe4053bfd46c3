/* All time in the program: wall clock as milliseconds since 1970 UTC, monotonic milliseconds for
 * intervals, RFC 3339 text with Z. */
#ifndef VX_CLOCK_H
#define VX_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_TEXT_MAX 32

int64_t clock_now_ms(void);
int64_t clock_mono_ms(void);
/* "2026-11-23T08:54:48Z", with ".123" only when milliseconds are not zero. Returns out. */
const char *clock_format(int64_t ms, char out[CLOCK_TEXT_MAX]);
/* Parses RFC 3339 with Z or an offset (a time without zone is UTC). 0, or -1 when malformed. */
int clock_parse(const char *s, int64_t *ms);
/* Parses a WebVTT time stamp "[hh:]mm:ss.mmm" of n bytes. 0 or -1. */
int clock_parse_cue(const char *s, size_t n, int64_t *ms);

#endif
