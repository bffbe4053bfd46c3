/* The request arena: a chain of blocks, a list of clean-ups. */
#include "lib/arena.h"

#include <json-c/json.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK 16384
#define ALIGN       alignof(max_align_t)

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

struct deferred {
    struct deferred *next;
    void (*fn)(void *);
    void *ptr;
};

struct arena {
    struct block *blocks; /* newest first; the last one is the first block, kept on reset */
    struct deferred *deferred;
    size_t total, max;
};

static struct block *block_new(size_t size)
{
    struct block *b = malloc(sizeof *b + size);
    if (!b)
        return NULL;
    b->next = NULL;
    b->used = 0;
    b->size = size;
    return b;
}

struct arena *arena_new(size_t max)
{
    struct arena *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->blocks = block_new(FIRST_BLOCK);
    if (!a->blocks) {
        free(a);
        return NULL;
    }
    a->total = FIRST_BLOCK;
    a->max = max < FIRST_BLOCK ? FIRST_BLOCK : max;
    return a;
}

void arena_reset(struct arena *a)
{
    while (a->deferred) {
        struct deferred *d = a->deferred;
        a->deferred = d->next;
        d->fn(d->ptr);
    }
    while (a->blocks->next) {
        struct block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->blocks->used = 0;
    a->total = a->blocks->size;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    free(a->blocks);
    free(a);
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > a->max)
        return NULL;
    size_t need = (n + ALIGN - 1) / ALIGN * ALIGN;
    struct block *b = a->blocks;
    if (b->size - b->used < need) {
        size_t size = need > b->size ? need : b->size * 2;
        if (size > 1 << 20 && need <= 1 << 20)
            size = 1 << 20;
        if (size > a->max - a->total)
            size = need;
        if (size > a->max - a->total || !(b = block_new(size)))
            return NULL;
        b->next = a->blocks;
        a->blocks = b;
        a->total += size;
    }
    void *p = b->data + b->used;
    b->used += need;
    memset(p, 0, n);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    n = strnlen(s, n);
    char *p = arena_alloc(a, n + 1);
    if (p)
        memcpy(p, s, n);
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, SIZE_MAX);
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

int arena_defer(struct arena *a, void (*fn)(void *), void *ptr)
{
    struct deferred *d = arena_alloc(a, sizeof *d);
    if (!d) {
        fn(ptr);
        return -1;
    }
    d->fn = fn;
    d->ptr = ptr;
    d->next = a->deferred;
    a->deferred = d;
    return 0;
}

static void put_json(void *o)
{
    json_object_put(o);
}

struct json_object *arena_own_json(struct arena *a, struct json_object *o)
{
    if (!o || arena_defer(a, put_json, o))
        return NULL;
    return o;
}
