/* How many streams a number (a user, a token) has: a small hash table of counters. No locking. */
#ifndef VX_HUB_COUNT_H
#define VX_HUB_COUNT_H

#include <stddef.h>
#include <stdint.h>

struct count_node {
    struct count_node *next;
    int64_t key;
    unsigned n;
};

struct count_table {
    struct count_node **buckets;
    size_t n_buckets, n_keys;
};

unsigned count_get(const struct count_table *t, int64_t key);
/* 0, or -1 when memory ran out. */
int count_add(struct count_table *t, int64_t key);
/* A key that reaches 0 goes away. */
void count_sub(struct count_table *t, int64_t key);
void count_free(struct count_table *t);

#endif
