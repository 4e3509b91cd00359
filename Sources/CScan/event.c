// Server-sent events, as far as a gateway must look into them. The format: https://html.spec.whatwg.org/multipage/server-sent-events.html

#include <string.h>

#include "cscan.h"

// Lines end in LF, CRLF or CR; an event ends with an empty line.
static size_t line_end(const uint8_t *bytes, size_t length, size_t at, size_t *next) {
    const uint8_t *feed = memchr(bytes + at, '\n', length - at);
    size_t stop = feed ? (size_t)(feed - bytes) : length;
    const uint8_t *carriage = memchr(bytes + at, '\r', stop - at);
    if (carriage) {
        size_t end = (size_t)(carriage - bytes);
        *next = end + 1 < length && bytes[end + 1] == '\n' ? end + 2 : end + 1;
        return end;
    }
    *next = feed ? stop + 1 : length;
    return stop;
}

size_t cscan_event_end(const uint8_t *bytes, size_t length, size_t from) {
    // Two line ends in a row; look a few bytes back, for the first of them may stand there.
    size_t at = from > 3 ? from - 3 : 0;
    while (at < length) {
        const uint8_t *feed = memchr(bytes + at, '\n', length - at);
        const uint8_t *carriage = memchr(bytes + at, '\r', (feed ? (size_t)(feed - bytes) : length) - at);
        const uint8_t *found = carriage ? carriage : feed;
        if (found == NULL) return 0;
        size_t end = (size_t)(found - bytes);
        size_t behind = end + 1;
        if (bytes[end] == '\r') {
            if (behind == length) return 0;  // an LF may follow that belongs to it
            if (bytes[behind] == '\n') behind++;
        }
        if (behind == length) return 0;
        if (bytes[behind] == '\n') return behind + 1;
        if (bytes[behind] == '\r') return behind + 1 < length && bytes[behind + 1] == '\n' ? behind + 2 : behind + 1;
        at = behind;
    }
    return 0;
}

void cscan_event_scan(const uint8_t *bytes, size_t length, cscan_event *out, cscan_answer *answer) {
    out->has_data = 0;
    out->is_done = 0;
    out->is_utf8 = 1;
    cscan_answer_reset(answer);
    size_t at = 0;
    while (at < length) {
        size_t next;
        size_t end = line_end(bytes, length, at, &next);
        if (end - at >= 5 && memcmp(bytes + at, "data:", 5) == 0) {
            size_t start = at + 5;
            if (start < end && bytes[start] == ' ') start++;
            size_t count = end - start;
            while (count > 0 && (bytes[start + count - 1] == ' ' || bytes[start + count - 1] == '\t')) count--;
            if (!out->has_data && count == 6 && memcmp(bytes + start, "[DONE]", 6) == 0) out->is_done = 1;
            out->has_data = 1;
            if (!out->is_done) cscan_answer_feed(answer, bytes + start, end - start);
        }
        at = next;
    }
    if (out->has_data && !out->is_done) out->is_utf8 = (uint8_t)cscan_is_utf8(bytes, length);
}
