/* A request's memory: allocate freely, free everything at once. Also runs clean-ups (a json-c
 * tree, a file) in reverse order. Not thread safe: one arena belongs to one thread at a time. */
#ifndef VX_ARENA_H
#define VX_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena;
struct json_object;

/* New arena that refuses to grow past max bytes. NULL when out of memory. */
struct arena *arena_new(size_t max);
/* Runs the clean-ups and keeps the first block for the next request. */
void arena_reset(struct arena *a);
void arena_free(struct arena *a);

/* All return zeroed or copied memory aligned for any type, or NULL (out of memory or past max). */
void *arena_alloc(struct arena *a, size_t n) __attribute__((warn_unused_result));
char *arena_strdup(struct arena *a, const char *s) __attribute__((warn_unused_result));
char *arena_strndup(struct arena *a, const char *s, size_t n) __attribute__((warn_unused_result));
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* fn(ptr) runs when the arena is reset or freed. On failure fn(ptr) has already run: -1. */
int arena_defer(struct arena *a, void (*fn)(void *), void *ptr);
/* Puts the tree when the arena goes and returns it; NULL when o is NULL or it could not be kept. */
struct json_object *arena_own_json(struct arena *a, struct json_object *o);

#endif
