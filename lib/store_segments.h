/* Transcript segments (spec/meetings.md §4; shapes.md "Bots and meetings"). */
#ifndef VX_STORE_SEGMENTS_H
#define VX_STORE_SEGMENTS_H

#include "lib/store.h"

struct segment {
    const char *segment_id;
    double start, end; /* seconds from the meeting's start, or epoch seconds (>= 1e9) */
    const char *text, *language, *speaker, *speaker_key, *source; /* language… may be NULL */
    bool completed;
    const char *absolute_start, *absolute_end; /* RFC 3339, NULL = not sent */
    const char *words;                         /* JSON array text or NULL */
    bool has_confidence;
    double confidence;
    int64_t changed; /* number of the event that last changed it */
};

struct ingest_result {
    size_t stored, unchanged;
    int64_t cursor; /* event number after the write */
};

/* Upserts n segments in order and appends a transcript event for each that changed something.
 * A draft never replaces a confirmed segment; a confirmed length under 1 ms is dropped (counted
 * unchanged) unless source is "chat"; end < start is swapped. Retracts first when retract_ids is
 * given: those segments go and one retract event is appended. */
enum vx_err store_segments_ingest(struct store *st, int64_t meeting_id, const struct segment *seg,
                                  size_t n, const char *const *retract_ids, size_t n_retract,
                                  struct ingest_result *out);
/* All segments of a meeting ordered by start, then by id of arrival. */
enum vx_err store_segments_read(struct store_conn *c, struct arena *a, int64_t meeting_id,
                                struct segment **out, size_t *n);

#endif
