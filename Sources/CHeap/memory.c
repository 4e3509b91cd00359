#include "cheap.h"

#include <malloc.h>

size_t cheap_free_bytes(void) {
    return mallinfo2().fordblks;
}

int cheap_trim(void) {
    return malloc_trim(0);
}
