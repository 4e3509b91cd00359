// CRC-32C, polynomial 0x1EDC6F41 reflected (RFC 3720, appendix B.4): the processor's instruction where there is one, a table elsewhere.

#include <string.h>

#include "cscan.h"

static uint32_t table[256];

__attribute__((constructor)) static void fill(void) {
    for (uint32_t index = 0; index < 256; index++) {
        uint32_t value = index;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
        table[index] = value;
    }
}

static uint32_t by_table(uint32_t crc, const uint8_t *bytes, size_t length) {
    for (size_t index = 0; index < length; index++) crc = table[(crc ^ bytes[index]) & 0xff] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes, size_t length) {
    uint64_t wide = crc;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        wide = _mm_crc32_u64(wide, word);
        bytes += 8;
        length -= 8;
    }
    crc = (uint32_t)wide;
    while (length-- > 0) crc = _mm_crc32_u8(crc, *bytes++);
    return crc;
}
#endif

uint32_t cscan_crc32c(uint32_t seed, const uint8_t *bytes, size_t length) {
    uint32_t crc = ~seed;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~by_instruction(crc, bytes, length);
#endif
    return ~by_table(crc, bytes, length);
}
