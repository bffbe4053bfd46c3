/* The events log: the only bus. One number orders all topics; ids are never reused. Topics:
 * meeting/<id>, user/<id>, bot/<session_uid>, unit/<id>. */
#ifndef VX_STORE_EVENTS_H
#define VX_STORE_EVENTS_H

#include "lib/store.h"

struct event {
    int64_t id, ts;
    const char *topic, *type;
    const char *data; /* the frame's JSON object, ready to be sent */
    size_t data_len;
};

/* Inside a write function: appends and returns the number. */
enum vx_err events_append(struct store_conn *w, const char *topic, const char *type,
                          const char *data, int64_t *id);

/* Calls fn for the events with id > after, oldest first, at most limit; of one topic, or of all
 * when topic is NULL. fn returns false to stop early. Strings live during the call only. *last is
 * the id of the last event given (untouched when none). */
typedef bool events_fn(const struct event *e, void *ctx);
enum vx_err events_after(struct store_conn *c, const char *topic, int64_t after, int limit,
                         events_fn *fn, void *ctx, int64_t *last);
/* Largest id in the log (0 when empty; the sequence survives trims). */
enum vx_err events_tip(struct store_conn *c, int64_t *tip);
/* Largest trimmed id of a topic, 0 when nothing was ever trimmed. */
enum vx_err events_floor(struct store_conn *c, const char *topic, int64_t *floor);
/* What a floor hides besides ordinary events. */
enum topic_end {
    TOPIC_OPEN,        /* nothing of note */
    TOPIC_END_TRIMMED, /* the topic's end event was trimmed: nothing more will come */
    TOPIC_DELETED      /* the topic is gone with the meeting; the floor is past every event */
};
/* The floor and what it hides. */
enum vx_err events_floor_end(struct store_conn *c, const char *topic, int64_t *floor,
                             enum topic_end *end);
/* Id of the newest event of this type on the topic, 0 when none. */
enum vx_err events_last_of_type(struct store_conn *c, const char *topic, const char *type,
                                int64_t *id);
/* Cursor from which the last n events of a topic follow. */
enum vx_err events_cursor_before_last(struct store_conn *c, const char *topic, int64_t n,
                                      int64_t *cursor);
/* Same for the last n events of several topics together. */
enum vx_err events_cursor_before_last_of(struct store_conn *c, struct arena *a,
                                         const char *const *topics, size_t n_topics, int64_t n,
                                         int64_t *cursor);

#endif
