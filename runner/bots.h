/* The bots of one runner: adopting those of an earlier runner, launching what is requested,
 * stopping, and telling the store how each ended. Everything here runs on the event loop. */
#ifndef VX_RUNNER_BOTS_H
#define VX_RUNNER_BOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/instance.h"
#include "lib/store.h"
#include "lib/store_retention.h"
#include "runner/ending.h"

struct bot {
    char *id, *session_uid, *command; /* command: for texts */
    pid_t pid;                        /* 0 = no process was made */
    int64_t start;
    int pidfd;     /* in the epoll set with this struct as its data; -1 = look at it by hand */
    int go;        /* socket of a process we started (runner/launch.h), else -1 */
    bool own;      /* our child: its exit status is ours to read */
    bool starting; /* its row never got past starting (adopted, or a commit still to be made) */
    int64_t started_ms;
    enum bot_why why;
    int64_t kill_at; /* monotonic ms, once SIGTERM was sent */
    int64_t over_at; /* monotonic ms since its meeting is over, 0 = it is not */
    bool killed, in_store, ended, known, watched;
    int exit_code, sig;
    char *start_error; /* it never became the bot */
    unsigned tries;    /* failed attempts to store its end */
};

struct runner {
    struct instance in;
    struct store *st;
    struct store_conn *rd;
    struct arena *a; /* of the current step; reset between steps */
    const char *name;
    int epoll;
    struct bot **bots;
    size_t n, cap;
    int64_t version;     /* data version of the last read; -1 = read again */
    int64_t retry_at;    /* monotonic ms: the store is left alone until then after a fault */
    int64_t complain_at; /* next time a fault may be logged */
    int64_t next_read, next_seen, next_overdue, next_probe, next_sweep;
    struct retention_sweep sweep;
};

/* Called once before the first tick: adopts, fails what waited too long. */
void bots_start(struct runner *r);
/* Every 20 ms: reads when the database changed, launches, sends due signals, retries. */
void bots_tick(struct runner *r);
/* The pidfd of b is readable: the process ended. b may be freed. */
void bots_on_exit(struct runner *r, struct bot *b);
/* Forgets all bots without touching their processes. */
void bots_free(struct runner *r);

#endif
