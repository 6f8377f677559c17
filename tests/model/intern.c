#include "intern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
    if (!p) {
        fputs("model: no memory\n", stderr);
        exit(3);
    }
    return p;
}

void intern_init(struct intern *t, size_t item_size)
{
    memset(t, 0, sizeof(*t));
    t->item_size = item_size;
    t->capacity = 1024;
    t->slots_count = 4096;
    t->items = need(malloc(t->capacity * item_size));
    t->slots = need(calloc(t->slots_count, sizeof(t->slots[0])));
}

void intern_free(struct intern *t)
{
    free(t->items);
    free(t->slots);
    memset(t, 0, sizeof(*t));
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    return h;
}

static uint64_t hash(const uint8_t *p, size_t n)
{
    uint64_t h = n, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = mix(h ^ word);
    }
    word = 0;
    memcpy(&word, p, n);
    return mix(mix(h ^ word));
}

static void grow_slots(struct intern *t)
{
    size_t n = t->slots_count * 2;
    uint32_t *slots = need(calloc(n, sizeof(slots[0])));
    for (size_t i = 0; i < t->count; i++) {
        size_t at = hash(intern_get(t, (uint32_t)i), t->item_size) & (n - 1);
        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(t->slots);
    t->slots = slots;
    t->slots_count = n;
}

uint32_t intern_put(struct intern *t, const void *item, bool *ret_new)
{
    size_t at = hash(item, t->item_size) & (t->slots_count - 1);
    *ret_new = false;
    for (; t->slots[at]; at = (at + 1) & (t->slots_count - 1))
        if (memcmp(intern_get(t, t->slots[at] - 1), item, t->item_size) == 0)
            return t->slots[at] - 1;
    if (t->count == t->capacity) {
        t->capacity *= 2;
        t->items = need(realloc(t->items, t->capacity * t->item_size));
    }
    memcpy(t->items + t->count * t->item_size, item, t->item_size);
    t->slots[at] = (uint32_t)++t->count;
    *ret_new = true;
    uint32_t index = (uint32_t)t->count - 1;
    if (t->count * 2 > t->slots_count)
        grow_slots(t);
    return index;
}
