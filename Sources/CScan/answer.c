// The answer scanner: a JSON tokenizer that can be cut anywhere, remembers the path of keys above it, and keeps nothing but counts.
// It is no validator: a text that is no JSON leaves the counts at what was seen before. It sees brackets that do not match, words that
// no JSON has and bytes behind the end, which is how answers are broken in practice.

#include <string.h>

#include "cscan.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { PHASE_VALUE = 0, PHASE_STRING = 1, PHASE_NUMBER = 2, PHASE_WORD = 3 };

enum {
    KEY_OTHER = 0,
    KEY_USAGE,
    KEY_ERROR,
    KEY_CHOICES,
    KEY_DATA,
    KEY_FINISH_REASON,
    KEY_TEXT,  // any key whose string value is text that the model produced
    KEY_PROMPT_TOKENS,
    KEY_COMPLETION_TOKENS,
    KEY_CACHED_TOKENS,
    KEY_REASONING_TOKENS,
};

#define DEPTH_TRACKED 8

static int is(const char *key, size_t length, const char *name, size_t name_length) {
    return length == name_length && memcmp(key, name, name_length) == 0;
}

#define IS(name) is(key, length, name, sizeof(name) - 1)

static uint8_t classify(const char *key, size_t length) {
    switch (length) {
    case 4: return IS("text") ? KEY_TEXT : IS("data") ? KEY_DATA : KEY_OTHER;
    case 5: return IS("usage") ? KEY_USAGE : IS("error") ? KEY_ERROR : KEY_OTHER;
    case 7: return IS("content") || IS("refusal") ? KEY_TEXT : IS("choices") ? KEY_CHOICES : KEY_OTHER;
    case 9: return IS("arguments") || IS("reasoning") ? KEY_TEXT : KEY_OTHER;
    case 13: return IS("finish_reason") ? KEY_FINISH_REASON : IS("prompt_tokens") ? KEY_PROMPT_TOKENS : IS("cached_tokens") ? KEY_CACHED_TOKENS : KEY_OTHER;
    case 16: return IS("reasoning_tokens") ? KEY_REASONING_TOKENS : KEY_OTHER;
    case 17: return IS("completion_tokens") ? KEY_COMPLETION_TOKENS : IS("reasoning_content") ? KEY_TEXT : KEY_OTHER;
    default: return KEY_OTHER;
    }
}

// The first byte at or behind `at` that is a quote or a backslash.
static inline size_t string_stop(const uint8_t *bytes, size_t at, size_t length) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    while (at + 16 <= length) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + at));
        int mask = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, backslash)));
        if (mask != 0) return at + (size_t)__builtin_ctz((unsigned)mask);
        at += 16;
    }
    if (length >= 16 && at < length) {
        // The last sixteen bytes once more, less those that were looked at or stand before `at`.
        __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + length - 16));
        int mask = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, backslash)));
        mask >>= 16 - (length - at);
        return mask != 0 ? at + (size_t)__builtin_ctz((unsigned)mask) : length;
    }
#endif
    while (at < length && bytes[at] != '"' && bytes[at] != '\\') at++;
    return at;
}

static uint8_t key_at(const cscan_answer *answer, int32_t depth) {
    return depth >= 1 && depth < DEPTH_TRACKED ? answer->keys[depth] : KEY_OTHER;
}

// The containers around what is being read. The loop keeps them out of memory: a write through `answer` could be one to the bytes that are
// read, as far as a compiler knows, so that everything would be loaded again for each token.
typedef struct {
    uint64_t containers;
    int32_t depth;
    uint8_t in_object;
    uint8_t expecting_key;
    uint8_t top;  // the key in force at depth 1
    uint8_t key;  // the one at this depth
} place;

static inline uint8_t object_at(uint64_t containers, int32_t depth) {
    return depth >= 1 && depth < 64 ? (uint8_t)(containers >> depth & 1) : 0;
}

static inline place place_of(const cscan_answer *answer) {
    place here = {answer->containers, answer->depth, object_at(answer->containers, answer->depth), answer->expecting_key, key_at(answer, 1),
                  key_at(answer, answer->depth)};
    return here;
}

// No call has more tokens of a kind; a larger number is a fault of whoever wrote it.
#define TOKENS_MAX 1000000000

static inline int is_count(const place *here) {
    if (here->top != KEY_USAGE) return 0;
    if (here->depth == 2) return here->key == KEY_PROMPT_TOKENS || here->key == KEY_COMPLETION_TOKENS;
    return here->depth == 3 && (here->key == KEY_CACHED_TOKENS || here->key == KEY_REASONING_TOKENS);
}

static inline void number_ended(cscan_answer *answer, const place *here) {
    if (!is_count(here)) return;
    if (!answer->number_is_integer || answer->number > TOKENS_MAX) {
        answer->usage_is_bad = 1;
        return;
    }
    switch (here->key) {
    case KEY_PROMPT_TOKENS: answer->prompt_tokens = answer->number; break;
    case KEY_COMPLETION_TOKENS: answer->completion_tokens = answer->number; break;
    case KEY_CACHED_TOKENS: answer->cached_tokens = answer->number; break;
    case KEY_REASONING_TOKENS: answer->reasoning_tokens = answer->number; break;
    default: break;
    }
    if (here->depth == 2) answer->has_usage = 1;
}

// A value of any kind begins at the current depth.
static inline void value_begins(cscan_answer *answer, const place *here, uint8_t first) {
    if (here->depth > 3) return;
    switch (here->top) {
    case KEY_ERROR:
        if (here->depth == 1 && first != 'n' && first != 'f') answer->has_error = 1;
        break;
    case KEY_CHOICES:
        if (here->depth == 2 && !here->in_object) answer->has_choices = 1;
        break;
    case KEY_USAGE:
        // A detail may be null; what is charged may not.
        if (first != '-' && (first < '0' || first > '9') && !(first == 'n' && here->depth == 3) && is_count(here)) answer->usage_is_bad = 1;
        break;
    default: break;
    }
}

static inline void container_opens(cscan_answer *answer, place *here, int object) {
    if (here->depth == 1) {
        if (object && here->top == KEY_USAGE) {
            answer->has_usage = 0;
            answer->usage_is_bad = 0;
            answer->prompt_tokens = answer->completion_tokens = answer->cached_tokens = answer->reasoning_tokens = 0;
        }
        if (!object && (here->top == KEY_CHOICES || here->top == KEY_DATA)) answer->has_data = 1;
    } else if (here->depth == 0 && object) {
        answer->is_object = 1;
    }
    here->depth++;
    here->in_object = 0;
    if (here->depth < 64) {
        here->containers = (here->containers & ~(1ull << here->depth)) | (uint64_t)object << here->depth;
        here->in_object = (uint8_t)object;
    }
    if (here->depth < DEPTH_TRACKED) answer->keys[here->depth] = KEY_OTHER;
    if (here->depth == 1) here->top = KEY_OTHER;
    here->key = KEY_OTHER;
    here->expecting_key = (uint8_t)object;
}

static inline void container_closes(cscan_answer *answer, place *here, int object) {
    if (here->depth < 64 && (here->depth == 0 || here->in_object != object)) answer->is_malformed = 1;
    if (here->depth > 0) here->depth--;
    if (here->depth == 0 && answer->is_object && !answer->is_malformed) answer->is_whole = 1;
    here->in_object = object_at(here->containers, here->depth);
    here->key = key_at(answer, here->depth);
    here->expecting_key = 0;
}

// Behind the last brace nothing stands but white space: whoever writes more has written no JSON, and a client's parser will say so.
static void text_ended(cscan_answer *answer, const uint8_t *bytes, size_t at, size_t length) {
    for (; at < length; at++) {
        uint8_t byte = bytes[at];
        if (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t') continue;
        answer->is_malformed = 1;
        answer->is_whole = 0;
        return;
    }
}

static inline void key_ended(cscan_answer *answer, place *here, const char *key, size_t length) {
    // Only an object expects a key, so that the depth is at least 1.
    if (here->depth < DEPTH_TRACKED) {
        here->key = classify(key, length);
        answer->keys[here->depth] = here->key;
        if (here->depth == 1) here->top = here->key;
    }
    here->expecting_key = 0;
}

static void string_takes(cscan_answer *answer, uint8_t key, const uint8_t *bytes, size_t length) {
    if (answer->string_is_key) {
        size_t room = sizeof(answer->key) - answer->key_length;
        // A key that does not fit is none of ours: the length past the buffer makes sure that it matches nothing.
        size_t take = length < room ? length : room;
        memcpy(answer->key + answer->key_length, bytes, take);
        answer->key_length = (uint8_t)(answer->key_length + take);
    } else if (key == KEY_TEXT) {
        answer->content_bytes += (uint32_t)length;
    }
}

void cscan_answer_reset(cscan_answer *answer) { memset(answer, 0, sizeof(*answer)); }

// Reads on in a string that was cut or has escapes, at least one byte; the phase is that of a value when it ends.
static size_t feed_string(cscan_answer *answer, uint8_t key, const uint8_t *bytes, size_t at, size_t length) {
    while (at < length) {
        if (answer->escaped) {
            // The byte behind a backslash: in a key it makes the key none of ours, in text it counts as one byte.
            string_takes(answer, key, bytes + at, 1);
            answer->escaped = 0;
            at++;
        }
        size_t stop = string_stop(bytes, at, length);
        string_takes(answer, key, bytes + at, stop - at);
        if (stop == length) return stop;
        at = stop + 1;
        if (bytes[stop] == '"') {
            answer->phase = PHASE_VALUE;
            return at;
        }
        answer->escaped = 1;
        if (answer->string_is_key) answer->key_length = sizeof(answer->key);
    }
    return at;
}

// Reads on in a number; the phase is that of a value when it ends.
static size_t feed_number(cscan_answer *answer, const uint8_t *bytes, size_t at, size_t length) {
    int64_t number = answer->number;
    uint8_t is_integer = answer->number_is_integer;
    uint8_t phase = PHASE_NUMBER;
    for (; at < length; at++) {
        uint8_t byte = bytes[at];
        if (byte >= '0' && byte <= '9') {
            if (number > INT64_MAX / 10 - 1) is_integer = 0;
            else number = number * 10 + (byte - '0');
        } else if (byte == '.' || byte == 'e' || byte == 'E' || byte == '+' || byte == '-') {
            is_integer = 0;
        } else {
            phase = PHASE_VALUE;
            break;
        }
    }
    answer->number = number;
    answer->number_is_integer = is_integer;
    answer->phase = phase;
    return at;
}

void cscan_answer_feed(cscan_answer *answer, const uint8_t *bytes, size_t length) {
    if (answer->is_ended) {
        text_ended(answer, bytes, 0, length);
        return;
    }
    place here = place_of(answer);
    size_t at = 0;
    // What was cut comes first. Below, the phase is that of a value until the bytes end.
    if (answer->phase == PHASE_STRING) {
        at = feed_string(answer, here.key, bytes, at, length);
        if (answer->phase == PHASE_VALUE && answer->string_is_key) key_ended(answer, &here, answer->key, answer->key_length);
    } else if (answer->phase == PHASE_NUMBER) {
        at = feed_number(answer, bytes, at, length);
        if (answer->phase == PHASE_VALUE) number_ended(answer, &here);
    }
    while (at < length) {
        uint8_t byte = bytes[at++];
        switch (byte) {
        case '"': {
            int is_key = here.expecting_key && here.in_object;
            if (!is_key) {
                value_begins(answer, &here, byte);
                if (here.key == KEY_FINISH_REASON) answer->has_finish = 1;
            }
            size_t end = string_stop(bytes, at, length);
            if (end < length && bytes[end] == '"') {
                // All of it is here and it has no escapes: the usual case, without the steps that a cut string needs.
                if (is_key) {
                    key_ended(answer, &here, (const char *)bytes + at, end - at);
                    if (end + 1 < length && bytes[end + 1] == ':') end++;
                } else if (here.key == KEY_TEXT) {
                    answer->content_bytes += (uint32_t)(end - at);
                }
                at = end + 1;
                break;
            }
            answer->phase = PHASE_STRING;
            answer->string_is_key = (uint8_t)is_key;
            answer->key_length = 0;
            answer->escaped = 0;
            at = feed_string(answer, here.key, bytes, at, length);
            if (answer->phase == PHASE_VALUE && is_key) key_ended(answer, &here, answer->key, answer->key_length);
            break;
        }
        case '{':
            value_begins(answer, &here, byte);
            container_opens(answer, &here, 1);
            break;
        case '[':
            value_begins(answer, &here, byte);
            container_opens(answer, &here, 0);
            break;
        case '}':
            container_closes(answer, &here, 1);
            if (answer->is_whole) {
                answer->is_ended = 1;
                text_ended(answer, bytes, at, length);
                at = length;
            }
            break;
        case ']': container_closes(answer, &here, 0); break;
        case ',': here.expecting_key = here.in_object; break;
        case 't':
        case 'f':
        case 'n': value_begins(answer, &here, byte); break;
        case '-':
        case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
            value_begins(answer, &here, byte);
            answer->number_is_integer = byte != '-';
            answer->number = byte == '-' ? 0 : byte - '0';
            at = feed_number(answer, bytes, at, length);
            if (answer->phase == PHASE_VALUE) number_ended(answer, &here);
            break;
        case ':': case ' ': case '\n': case '\r': case '\t': break;
        // What is left of true, false and null.
        case 'r': case 'u': case 'e': case 'a': case 'l': case 's': break;
        default:
            // Before the object stands at most a byte order mark.
            if (here.depth > 0 || (!answer->is_object && byte != 0xEF && byte != 0xBB && byte != 0xBF)) answer->is_malformed = 1;
            break;
        }
    }
    answer->containers = here.containers;
    answer->depth = here.depth;
    answer->expecting_key = here.expecting_key;
}
