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
    int64_t changed; /* number of the event of its last change; see SEGMENT_EDITS_TOPIC */
};

struct ingest_result {
    size_t stored, unchanged;
    int64_t cursor; /* event number after the write */
};

/* Upserts n segments in order and appends a transcript event for each that changed something.
 * A draft never replaces a confirmed segment; a confirmed length under 1 ms is dropped (counted
 * unchanged) unless source is "chat"; end < start is swapped. After the end of the meeting what
 * is still a draft is confirmed at once. Retracts first when retract_ids is
 * given: those segments go and one retract event is appended. */
enum vx_err store_segments_ingest(struct store *st, int64_t meeting_id, const struct segment *seg,
                                  size_t n, const char *const *retract_ids, size_t n_retract,
                                  struct ingest_result *out);
/* Segments whose last change has a number past since (0: all), ordered by start, then by arrival.
 */
enum vx_err store_segments_since(struct store_conn *c, struct arena *a, int64_t meeting_id,
                                 int64_t since, struct segment **out, size_t *n);
/* Ids of segments that were taken back after since and have not come back. Complete only when the
 * meeting's topic was not trimmed past since. */
enum vx_err store_segments_retracted(struct store_conn *c, struct arena *a, int64_t meeting_id,
                                     int64_t since, const char ***out, size_t *n);
/* All segments of a meeting ordered by start, then by id of arrival. */
enum vx_err store_segments_read(struct store_conn *c, struct arena *a, int64_t meeting_id,
                                struct segment **out, size_t *n);

#endif
