/* The hub's inside: its state, its streams and their topics. Only fcgi/hub*.c include this.
 *
 * A stream is in one of these states:
 *   live    has been given every event of its topics with id <= hub->seen; new ones come to it
 *   behind  is fed from the log, a bounded batch a turn (in hub->behind)
 *   parked  its socket is full; waits for EPOLLOUT, then it is behind
 *   closing its last words are in the tail; it goes when they are out
 *   dead    its fd is closed; freed at the end of the turn
 * A long poll is live while it waits; once it has something to say it is fed like one that is
 * behind, into its answer instead of its socket, and then closing (hub_poll.c). hub_loop (hub.c)
 * decides when, hub_feed.c reads the log, hub_stream.c writes and keeps lists. */
#ifndef VX_HUB_STREAM_H
#define VX_HUB_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fcgi/hub.h"
#include "fcgi/hub_count.h"
#include "fcgi/hub_frame.h"

#define HUB_TICK_MS      10    /* look for commits of other processes */
#define HUB_SILENCE_MS   15000 /* then a keepalive or a ping */
#define HUB_RETRY_MS     100   /* after the store could not be read */
#define HUB_STOP_MS      2000  /* last words at a stop */
#define HUB_BATCH_EVENTS 256
#define HUB_BATCH_BYTES  (1u << 20)
#define HUB_END_TYPES    16
#define HUB_POLL_EVENTS  500        /* in one long-poll answer */
#define HUB_POLL_BYTES   (1u << 20) /* then it is sent as it is */

/* Circular list with a head; an unlinked element points to itself. */
struct link {
    struct link *prev, *next;
};

struct topic {
    struct topic *next; /* in its hash bucket */
    struct sub *subs;
    unsigned n_plain, n_merged; /* streams of this topic alone, of several topics; no polls */
    int first, last;            /* its events in the batch at hand, -1 = none */
    uint32_t hash;
    char name[];
};

struct sub {
    struct stream *stream;
    struct topic *topic;
    struct sub *prev, *next; /* of the same topic */
    int64_t told;            /* floor a gap frame already told about */
};

/* What a long poll has besides a stream. */
struct poll {
    int64_t wait_ms, due_ms; /* monotonic: answered then, with or without events */
    int n;                   /* events */
    struct buf events;       /* JSON objects, separated by commas */
    size_t head_len;
    char head[]; /* header lines of the answer, all but Content-Length */
};

struct stream {
    struct link order; /* hub->idle, hub->polls or hub->parked, longest without activity first;
                          first member */
    struct link ready; /* hub->behind or hub->dead */
    struct frame *tail;
    size_t tail_at;
    int64_t cursor;    /* every event of its topics up to here was given (live: up to hub->seen) */
    int64_t active_ms; /* monotonic: last bytes the socket took */
    int64_t deadline_ms; /* wall clock: key's expiry or planned end, 0 = none */
    int64_t user_id, token_id;
    struct poll *poll; /* NULL = a stream */
    int fd;
    uint32_t batch; /* number of the last batch given (merged streams meet it once a topic) */
    uint16_t request_id;
    uint8_t n_topics;
    uint8_t end_type; /* number in hub->end_types, 0 = none */
    bool live : 1, parked : 1, closing : 1, dead : 1, ping : 1, keep : 1;
    struct sub subs[];
};

/* A stream on its way from a worker: what needs the hub's tables is still text. */
struct arrival {
    struct arrival *next;
    struct stream *stream;
    char *end_type;                  /* NULL = none */
    char *topics[STREAM_TOPICS_MAX]; /* all text is in data */
    char data[];
};

struct entry {
    int64_t id;
    struct topic *topic;
    struct frame *plain, *merged;
    int next; /* next of the same topic in the batch, -1 = none */
    uint8_t end_type;
};

struct hub {
    const struct app *app;
    const char *epoch;
    pthread_t thread;
    int epoll, wake, tick;
    unsigned max, max_per_user; /* under lock */
    _Atomic int64_t stall_ms, max_ms, plan_ms;

    pthread_mutex_t lock; /* what workers touch: */
    struct arrival *arrivals, **arrivals_end;
    struct count_table users; /* places by user, open or reserved */
    unsigned places;
    bool stopping;
    hub_keep_fn *keep_fn; /* NULL = connections are closed */
    void *keep_ctx;
    atomic_uint open;

    /* The thread's own from here. */
    struct store_conn *db;
    int64_t now; /* monotonic, once a turn */
    struct link idle, parked, polls, behind, dead;
    unsigned n_streams;
    struct topic **topics;
    size_t n_buckets, n_topics;
    char *end_types[HUB_END_TYPES + 1];
    struct frame *keepalive, *ping; /* for request id 1 */
    struct buf text;                /* scratch */

    bool have_seen;       /* seen is known (streams are open) */
    int64_t seen;         /* all events up to here were given to live streams */
    int64_t data_version; /* at the last look */
    bool dirty;           /* there may be rows past seen */
    bool faulted;         /* the last read failed (logged once) */
    int64_t retry_ms;     /* no reads before */

    struct count_table tokens; /* open streams by API key */
    bool tokens_dirty;
    int64_t tokens_next_ms; /* earliest next look at the keys */
    size_t tokens_at;       /* bucket the running look is at, SIZE_MAX = none runs */
    int64_t deadline_ms;    /* wall clock: earliest of all streams, 0 = none */
    int64_t deadline_look_ms;

    uint32_t batch;
    struct entry entries[HUB_BATCH_EVENTS];
};

/* hub_stream.c */

void link_init(struct link *l);
bool link_empty(const struct link *head);
void link_remove(struct link *l);
void link_append(struct link *head, struct link *l);
struct stream *stream_of_order(struct link *l);
struct stream *stream_of_ready(struct link *l);

/* The topic of this name, NULL when nobody subscribes to it. */
struct topic *topic_find(struct hub *h, const char *name);
/* Number of an end type, 0 for a type no stream ends with. */
uint8_t end_type_find(const struct hub *h, const char *type);

/* Makes the arrival's stream a stream of the hub. Takes the arrival over; when memory runs out the
 * stream is closed (its client resumes). */
void stream_enter(struct hub *h, struct arrival *a);
/* Frees what a worker built; the fd stays open. */
void arrival_free(struct arrival *a);

/* Sends frames in order to a stream with no tail. Returns how many were started (the last one
 * may be in the tail now, and the stream parked), or -1 when the stream is dead. Frames are for
 * the stream's request id. */
int stream_send(struct hub *h, struct stream *s, struct frame *const *f, int n);
/* Sends unnumbered text, whole; nothing happens to a parked stream. */
void stream_say(struct hub *h, struct stream *s, const char *text);
/* Its socket takes bytes again: sends the tail, then queues the stream for feeding. */
void stream_resume(struct hub *h, struct stream *s);
/* Ends the stream after its tail: text (a retry: line or NULL), END_REQUEST, close. patient: a
 * full socket may take its time, else the fd is closed at once. */
void stream_part(struct hub *h, struct stream *s, const char *text, bool patient);
/* stream_part() with a retry line of 500..3000 ms. */
void stream_part_retry(struct hub *h, struct stream *s, bool patient);
/* Takes it from live delivery and queues it for feeding. */
void stream_fall_behind(struct hub *h, struct stream *s);
/* Closes the fd now; the memory goes with streams_reap(). */
void stream_drop(struct hub *h, struct stream *s);
/* Frees the dead and gives their places back. */
void streams_reap(struct hub *h);

/* hub_poll.c: the long-poll form */

/* By the worker. NULL when out of memory. */
struct poll *poll_new(const struct stream_spec *spec);
void poll_free(struct poll *p);
/* Adds an event to the answer. False: memory ran out, the stream is dropped. */
bool poll_add(struct hub *h, struct stream *s, const char *json, size_t n);
/* Adds unnumbered stream text ("data: …" frames) as events without id. */
void poll_note(struct hub *h, struct stream *s, const char *text);
/* The answer holds as much as it may. */
bool poll_is_full(const struct stream *s);
/* It was given all there is: answers when there is anything, or when its time is over. */
void poll_settle(struct hub *h, struct stream *s);
/* Answers with what there is. end: nothing will follow. */
void poll_answer(struct hub *h, struct stream *s, bool end);
/* Answers those whose time is over. */
void polls_meet_due(struct hub *h);

/* hub_feed.c */

/* Reads one batch of rows past seen and gives it to the live streams. */
void feed_live(struct hub *h);
/* Feeds up to n streams that are behind, one batch each. */
void feed_behind(struct hub *h, int n);
/* Notes that a read of the store failed; later reads wait for HUB_RETRY_MS. */
void feed_fault(struct hub *h, enum vx_err err);

/* hub.c: fd to the keeper; false when there is none. Places of closed streams. */
bool hub_hand_back(struct hub *h, int fd);
void hub_give_back(struct hub *h, int64_t user_id);

#endif
