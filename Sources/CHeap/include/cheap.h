// The few calls of glibc that Swift's own module map leaves out.
#ifndef MARTLET_CHEAP_H
#define MARTLET_CHEAP_H

#include <stddef.h>

/// Bytes that the allocator holds and nobody uses, over all its arenas.
size_t cheap_free_bytes(void);

/// Gives free memory of all arenas back to the system, whole pages of it. Returns whether there was any.
int cheap_trim(void);

/// Has all threads together use at most so many arenas from now on. Returns whether the allocator took it.
int cheap_limit_arenas(int count);

#endif
