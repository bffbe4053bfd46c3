/* The hub's streams: entering, writing, parking, parting; the lists and the topic table. A
 * stream's fd never blocks, and at most one half-written frame is kept for it: what else it
 * misses is read from the log again when its socket takes bytes. */
#include "fcgi/hub_stream.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/secret.h"

#define SEND_FRAMES 64
#define WATCH       (EPOLLIN | EPOLLRDHUP)

void link_init(struct link *l)
{
    l->prev = l->next = l;
}

bool link_empty(const struct link *head)
{
    return head->next == head;
}

void link_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    link_init(l);
}

void link_append(struct link *head, struct link *l)
{
    link_remove(l);
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

struct stream *stream_of_order(struct link *l)
{
    return (struct stream *)((char *)l - offsetof(struct stream, order));
}

struct stream *stream_of_ready(struct link *l)
{
    return (struct stream *)((char *)l - offsetof(struct stream, ready));
}

/* ---- topics ---- */

static uint32_t hash_name(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

struct topic *topic_find(struct hub *h, const char *name)
{
    if (!h->n_buckets)
        return NULL;
    uint32_t hash = hash_name(name);
    for (struct topic *t = h->topics[hash & (h->n_buckets - 1)]; t; t = t->next) {
        if (t->hash == hash && strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}

static void topics_grow(struct hub *h)
{
    size_t n = h->n_buckets ? h->n_buckets * 2 : 64;
    struct topic **b = calloc(n, sizeof(struct topic *));
    if (!b)
        return; /* long chains are slow, not wrong; without any bucket topic_get() fails */
    for (size_t i = 0; i < h->n_buckets; i++) {
        for (struct topic *t = h->topics[i], *next; t; t = next) {
            next = t->next;
            t->next = b[t->hash & (n - 1)];
            b[t->hash & (n - 1)] = t;
        }
    }
    free(h->topics);
    h->topics = b;
    h->n_buckets = n;
}

/* Finds or makes. NULL when out of memory. */
static struct topic *topic_get(struct hub *h, const char *name)
{
    struct topic *t = topic_find(h, name);
    if (t)
        return t;
    if (h->n_topics >= h->n_buckets)
        topics_grow(h);
    if (!h->n_buckets)
        return NULL;
    size_t n = strlen(name) + 1;
    t = malloc(sizeof(*t) + n);
    if (!t)
        return NULL;
    *t = (struct topic){.first = -1, .last = -1, .hash = hash_name(name)};
    memcpy(t->name, name, n);
    struct topic **at = &h->topics[t->hash & (h->n_buckets - 1)];
    t->next = *at;
    *at = t;
    h->n_topics++;
    return t;
}

static void topic_remove(struct hub *h, struct topic *t)
{
    struct topic **at = &h->topics[t->hash & (h->n_buckets - 1)];
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    h->n_topics--;
    free(t);
}

static int subscribe(struct hub *h, struct stream *s, int i, const char *name)
{
    struct topic *t = topic_get(h, name);
    if (!t)
        return -1;
    struct sub *u = &s->subs[i];
    *u = (struct sub){.stream = s, .topic = t, .next = t->subs};
    if (t->subs)
        t->subs->prev = u;
    t->subs = u;
    if (!s->poll && s->n_topics > 1)
        t->n_merged++;
    else if (!s->poll)
        t->n_plain++;
    return 0;
}

static void unsubscribe(struct hub *h, struct stream *s, int i)
{
    struct sub *u = &s->subs[i];
    struct topic *t = u->topic;
    if (!t)
        return;
    if (u->prev)
        u->prev->next = u->next;
    else
        t->subs = u->next;
    if (u->next)
        u->next->prev = u->prev;
    if (!s->poll && s->n_topics > 1)
        t->n_merged--;
    else if (!s->poll)
        t->n_plain--;
    if (!t->subs)
        topic_remove(h, t);
}

uint8_t end_type_find(const struct hub *h, const char *type)
{
    for (uint8_t i = 1; i <= HUB_END_TYPES && h->end_types[i]; i++) {
        if (strcmp(h->end_types[i], type) == 0)
            return i;
    }
    return 0;
}

/* The program has a handful of end types; more than the table holds is a mistake in it. */
static int end_type_get(struct hub *h, const char *type, uint8_t *out)
{
    *out = end_type_find(h, type);
    for (uint8_t i = 1; !*out && i <= HUB_END_TYPES; i++) {
        if (h->end_types[i])
            continue;
        h->end_types[i] = strdup(type);
        if (!h->end_types[i])
            return -1;
        *out = i;
    }
    return *out ? 0 : -1;
}

/* ---- entering and leaving ---- */

static void touch(struct hub *h, struct stream *s)
{
    s->active_ms = h->now;
    link_append(s->parked ? &h->parked : s->poll ? &h->polls : &h->idle, &s->order);
}

void arrival_free(struct arrival *a)
{
    if (a->stream)
        poll_free(a->stream->poll);
    free(a->stream);
    free(a);
}

void stream_enter(struct hub *h, struct arrival *a)
{
    struct stream *s = a->stream;
    a->stream = NULL;
    link_init(&s->order);
    link_init(&s->ready);
    h->n_streams++;
    touch(h, s);
    if (s->poll) {
        s->poll->due_ms = h->now + s->poll->wait_ms;
        h->dirty = true; /* whoever asks sees what was committed before */
    }

    bool ok = !a->end_type || end_type_get(h, a->end_type, &s->end_type) == 0;
    for (int i = 0; ok && i < s->n_topics; i++)
        ok = subscribe(h, s, i, a->topics[i]) == 0;
    if (ok && s->token_id && count_add(&h->tokens, s->token_id)) {
        s->token_id = 0; /* not counted: streams_reap() must not take it away */
        ok = false;
    }
    struct epoll_event ev = {.events = WATCH, .data.ptr = s};
    if (!ok || epoll_ctl(h->epoll, EPOLL_CTL_ADD, s->fd, &ev)) {
        stream_drop(h, s);
        arrival_free(a);
        return;
    }
    if (s->deadline_ms && (!h->deadline_ms || s->deadline_ms < h->deadline_ms))
        h->deadline_ms = s->deadline_ms;
    arrival_free(a);
    stream_fall_behind(h, s);
}

static void die(struct hub *h, struct stream *s)
{
    s->dead = true;
    s->live = false;
    link_remove(&s->order);
    link_append(&h->dead, &s->ready);
    frame_unref(s->tail);
    s->tail = NULL;
}

void stream_drop(struct hub *h, struct stream *s)
{
    if (s->dead)
        return;
    die(h, s);
    /* Unread bytes at a close would reset the connection under what we sent last. */
    char waste[256];
    for (int i = 0; i < 16 && recv(s->fd, waste, sizeof(waste), MSG_DONTWAIT) > 0; i++)
        continue;
    shutdown(s->fd, SHUT_WR);
    close(s->fd);
    s->fd = -1;
}

void streams_reap(struct hub *h)
{
    while (!link_empty(&h->dead)) {
        struct stream *s = stream_of_ready(h->dead.next);
        link_remove(&s->ready);
        for (int i = 0; i < s->n_topics; i++)
            unsubscribe(h, s, i);
        if (s->token_id)
            count_sub(&h->tokens, s->token_id);
        h->n_streams--;
        hub_give_back(h, s->user_id);
        poll_free(s->poll);
        free(s);
    }
}

void stream_fall_behind(struct hub *h, struct stream *s)
{
    if (s->dead || s->closing)
        return;
    if (s->live && s->cursor < h->seen)
        s->cursor = h->seen;
    s->live = false;
    if (!s->parked)
        link_append(&h->behind, &s->ready);
}

/* ---- writing ---- */

/* Its socket is full: wait for EPOLLOUT. */
static void park(struct hub *h, struct stream *s)
{
    stream_fall_behind(h, s);
    link_remove(&s->ready);
    if (s->parked)
        return;
    struct epoll_event ev = {.events = WATCH | EPOLLOUT, .data.ptr = s};
    if (epoll_ctl(h->epoll, EPOLL_CTL_MOD, s->fd, &ev)) {
        stream_drop(h, s);
        return;
    }
    s->parked = true;
    touch(h, s);
}

static void unpark(struct hub *h, struct stream *s)
{
    if (!s->parked)
        return;
    struct epoll_event ev = {.events = WATCH, .data.ptr = s};
    if (epoll_ctl(h->epoll, EPOLL_CTL_MOD, s->fd, &ev)) {
        stream_drop(h, s);
        return;
    }
    s->parked = false;
    touch(h, s);
}

/* Bytes taken, 0 when the socket is full, -1 when it is broken. */
static ssize_t send_some(struct stream *s, struct iovec *iov, size_t n)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
    for (;;) {
        ssize_t r = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r >= 0)
            return r;
        if (errno == EINTR)
            continue;
        bool full = errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM;
        return full ? 0 : -1;
    }
}

int stream_send(struct hub *h, struct stream *s, struct frame *const *f, int n)
{
    int started = 0;
    while (started < n) {
        struct iovec iov[SEND_FRAMES];
        size_t total = 0;
        int k = 0;
        for (; k < SEND_FRAMES && started + k < n; k++) {
            iov[k].iov_base = f[started + k]->data;
            iov[k].iov_len = f[started + k]->len;
            total += f[started + k]->len;
        }
        ssize_t r = send_some(s, iov, (size_t)k);
        if (r < 0) {
            stream_drop(h, s);
            return -1;
        }
        size_t taken = (size_t)r;
        if (taken)
            touch(h, s);
        bool full = taken < total;
        for (; taken > 0 && taken >= f[started]->len; started++)
            taken -= f[started]->len;
        if (taken > 0) {
            s->tail = f[started];
            s->tail->refs++;
            s->tail_at = taken;
            started++;
        }
        if (full) {
            park(h, s);
            return s->dead ? -1 : started;
        }
    }
    return started;
}

void stream_say(struct hub *h, struct stream *s, const char *text)
{
    if (s->dead || s->parked || s->closing)
        return;
    if (s->poll) {
        poll_note(h, s, text);
        return;
    }
    struct frame *f = frame_new(s->request_id, text, strlen(text));
    if (!f) {
        stream_drop(h, s);
        return;
    }
    if (stream_send(h, s, &f, 1) == 0) { /* full at this moment: it goes out first */
        s->tail = f;
        s->tail_at = 0;
        return;
    }
    frame_unref(f);
}

/* Sends the tail. True when it is out and the stream lives. */
static bool send_tail(struct hub *h, struct stream *s)
{
    while (s->tail) {
        struct iovec iov = {s->tail->data + s->tail_at, s->tail->len - s->tail_at};
        ssize_t r = send_some(s, &iov, 1);
        if (r < 0) {
            stream_drop(h, s);
            return false;
        }
        if (r == 0) {
            park(h, s);
            return false;
        }
        touch(h, s);
        s->tail_at += (size_t)r;
        if (s->tail_at == s->tail->len) {
            frame_unref(s->tail);
            s->tail = NULL;
        }
    }
    return true;
}

/* All was said: the connection goes back where the web server wants it kept, else it is closed. */
static void leave(struct hub *h, struct stream *s)
{
    if (!s->keep || epoll_ctl(h->epoll, EPOLL_CTL_DEL, s->fd, NULL) || !hub_hand_back(h, s->fd)) {
        stream_drop(h, s);
        return;
    }
    s->fd = -1;
    die(h, s);
}

void stream_resume(struct hub *h, struct stream *s)
{
    if (!send_tail(h, s))
        return;
    if (s->closing) {
        leave(h, s);
        return;
    }
    unpark(h, s);
    stream_fall_behind(h, s);
}

void stream_part(struct hub *h, struct stream *s, const char *text, bool patient)
{
    if (s->dead || s->closing)
        return;
    const unsigned char *rest = s->tail ? s->tail->data + s->tail_at : NULL;
    struct frame *end =
        frame_end(s->request_id, text, rest, s->tail ? s->tail->len - s->tail_at : 0);
    if (!end) {
        stream_drop(h, s);
        return;
    }
    frame_unref(s->tail);
    s->tail = end;
    s->tail_at = 0;
    s->live = false;
    s->closing = true;
    link_remove(&s->ready);
    stream_resume(h, s);
    if (!s->dead && !patient)
        stream_drop(h, s);
}

void stream_part_retry(struct hub *h, struct stream *s, bool patient)
{
    unsigned r = 0;
    char text[32];
    if (s->poll) {
        poll_answer(h, s, false);
        return;
    }
    if (secret_bytes(&r, sizeof(r)))
        r = (unsigned)s->fd * 97; /* any spread is better than none */
    snprintf(text, sizeof(text), "retry: %u\n\n", 500 + r % 2501);
    stream_part(h, s, text, patient);
}
