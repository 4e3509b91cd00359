#include "cheap.h"

#include <malloc.h>

size_t cheap_free_bytes(void) {
    return mallinfo2().fordblks;
}

int cheap_limit_arenas(int count) {
    return mallopt(M_ARENA_MAX, count);
}

int cheap_trim(void) {
    return malloc_trim(0);
}
