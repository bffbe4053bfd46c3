/* Counters by number, chained hashing, doubled when the chains grow. */
#include "fcgi/hub_count.h"

#include <stdlib.h>

static size_t bucket_of(int64_t key, size_t n_buckets)
{
    return (size_t)(((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (n_buckets - 1);
}

static int grow(struct count_table *t)
{
    size_t n = t->n_buckets ? t->n_buckets * 2 : 16;
    struct count_node **b = calloc(n, sizeof(*b));
    if (!b)
        return t->n_buckets ? 0 : -1; /* long chains are slow, not wrong */
    for (size_t i = 0; i < t->n_buckets; i++) {
        for (struct count_node *c = t->buckets[i], *next; c; c = next) {
            next = c->next;
            size_t at = bucket_of(c->key, n);
            c->next = b[at];
            b[at] = c;
        }
    }
    free(t->buckets);
    t->buckets = b;
    t->n_buckets = n;
    return 0;
}

unsigned count_get(const struct count_table *t, int64_t key)
{
    if (!t->n_buckets)
        return 0;
    for (const struct count_node *c = t->buckets[bucket_of(key, t->n_buckets)]; c; c = c->next) {
        if (c->key == key)
            return c->n;
    }
    return 0;
}

int count_add(struct count_table *t, int64_t key)
{
    if (t->n_keys >= t->n_buckets && grow(t))
        return -1;
    struct count_node **at = &t->buckets[bucket_of(key, t->n_buckets)];
    for (struct count_node *c = *at; c; c = c->next) {
        if (c->key == key) {
            c->n++;
            return 0;
        }
    }
    struct count_node *c = malloc(sizeof(*c));
    if (!c)
        return -1;
    *c = (struct count_node){.next = *at, .key = key, .n = 1};
    *at = c;
    t->n_keys++;
    return 0;
}

void count_sub(struct count_table *t, int64_t key)
{
    if (!t->n_buckets)
        return;
    for (struct count_node **at = &t->buckets[bucket_of(key, t->n_buckets)]; *at;
         at = &(*at)->next) {
        struct count_node *c = *at;
        if (c->key != key)
            continue;
        if (--c->n == 0) {
            *at = c->next;
            free(c);
            t->n_keys--;
        }
        return;
    }
}

void count_free(struct count_table *t)
{
    for (size_t i = 0; i < t->n_buckets; i++) {
        for (struct count_node *c = t->buckets[i], *next; c; c = next) {
            next = c->next;
            free(c);
        }
    }
    free(t->buckets);
    *t = (struct count_table){0};
}
