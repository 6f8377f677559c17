/* Equal parts of states are stored once: a state is then a handful of numbers. */
#ifndef MODEL_INTERN_H
#define MODEL_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intern {
    size_t item_size, count, capacity;
    uint8_t *items;
    uint32_t *slots; /* index + 1, 0: free */
    size_t slots_count;
};

void intern_init(struct intern *t, size_t item_size);
void intern_free(struct intern *t);
/* The number of this item; *ret_new tells whether it was not there before. Ends the program when there is no
 * memory: this is a test. */
uint32_t intern_put(struct intern *t, const void *item, bool *ret_new);

static inline const void *intern_get(const struct intern *t, uint32_t i)
{
    return t->items + (size_t)i * t->item_size;
}

#endif
