// The answer scanner: a JSON tokenizer that can be cut anywhere, remembers the path of keys above it, and keeps nothing but counts.
// It is no validator: a text that is no JSON leaves the counts at what was seen before. It sees brackets that do not match and words that
// no JSON has, which is how answers are broken in practice.

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
static size_t string_stop(const uint8_t *bytes, size_t at, size_t length) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    while (at + 16 <= length) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(bytes + at));
        int mask = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(chunk, quote), _mm_cmpeq_epi8(chunk, backslash)));
        if (mask != 0) return at + (size_t)__builtin_ctz((unsigned)mask);
        at += 16;
    }
#endif
    while (at < length && bytes[at] != '"' && bytes[at] != '\\') at++;
    return at;
}

static uint8_t key_at(const cscan_answer *answer, int32_t depth) {
    return depth >= 1 && depth < DEPTH_TRACKED ? answer->keys[depth] : KEY_OTHER;
}

static int in_object(const cscan_answer *answer) {
    return answer->depth >= 1 && answer->depth < 64 && (answer->containers >> answer->depth & 1) != 0;
}

// No call has more tokens of a kind; a larger number is a fault of whoever wrote it.
#define TOKENS_MAX 1000000000

static int is_count(const cscan_answer *answer) {
    if (key_at(answer, 1) != KEY_USAGE) return 0;
    uint8_t key = key_at(answer, answer->depth);
    if (answer->depth == 2) return key == KEY_PROMPT_TOKENS || key == KEY_COMPLETION_TOKENS;
    return answer->depth == 3 && (key == KEY_CACHED_TOKENS || key == KEY_REASONING_TOKENS);
}

static void number_ended(cscan_answer *answer) {
    if (!is_count(answer)) return;
    if (!answer->number_is_integer || answer->number > TOKENS_MAX) {
        answer->usage_is_bad = 1;
        return;
    }
    if (answer->depth == 2) {
        answer->has_usage = 1;
        if (answer->keys[2] == KEY_PROMPT_TOKENS) answer->prompt_tokens = answer->number;
        if (answer->keys[2] == KEY_COMPLETION_TOKENS) answer->completion_tokens = answer->number;
    } else if (answer->depth == 3) {
        if (answer->keys[3] == KEY_CACHED_TOKENS) answer->cached_tokens = answer->number;
        if (answer->keys[3] == KEY_REASONING_TOKENS) answer->reasoning_tokens = answer->number;
    }
}

// A value of any kind begins at the current depth.
static void value_begins(cscan_answer *answer, uint8_t first) {
    if (answer->depth == 1 && answer->keys[1] == KEY_ERROR && first != 'n' && first != 'f') answer->has_error = 1;
    if (answer->depth == 2 && !in_object(answer) && answer->keys[1] == KEY_CHOICES) answer->has_choices = 1;
    // A detail may be null; what is charged may not.
    if (first != '-' && (first < '0' || first > '9') && !(first == 'n' && answer->depth == 3) && is_count(answer)) answer->usage_is_bad = 1;
}

static void container_opens(cscan_answer *answer, int object) {
    if (answer->depth == 1 && object && answer->keys[1] == KEY_USAGE) {
        answer->has_usage = 0;
        answer->usage_is_bad = 0;
        answer->prompt_tokens = answer->completion_tokens = answer->cached_tokens = answer->reasoning_tokens = 0;
    }
    if (answer->depth == 1 && !object && (answer->keys[1] == KEY_CHOICES || answer->keys[1] == KEY_DATA)) answer->has_data = 1;
    if (answer->depth == 0 && object) answer->is_object = 1;
    answer->depth++;
    if (answer->depth < 64) {
        if (object) answer->containers |= 1ull << answer->depth;
        else answer->containers &= ~(1ull << answer->depth);
    }
    if (answer->depth < DEPTH_TRACKED) answer->keys[answer->depth] = KEY_OTHER;
    answer->expecting_key = (uint8_t)object;
}

static void container_closes(cscan_answer *answer, int object) {
    if (answer->depth < 64 && (answer->depth == 0 || in_object(answer) != object)) answer->is_malformed = 1;
    if (answer->depth > 0) answer->depth--;
    if (answer->depth == 0 && answer->is_object && !answer->is_malformed) answer->is_whole = 1;
    answer->expecting_key = 0;
}

static void string_begins(cscan_answer *answer) {
    answer->string_is_key = answer->expecting_key && in_object(answer);
    answer->key_length = 0;
    answer->escaped = 0;
    answer->phase = PHASE_STRING;
    if (answer->string_is_key) return;
    value_begins(answer, '"');
    if (key_at(answer, answer->depth) == KEY_FINISH_REASON) answer->has_finish = 1;
}

static void string_takes(cscan_answer *answer, const uint8_t *bytes, size_t length) {
    if (answer->string_is_key) {
        size_t room = sizeof(answer->key) - answer->key_length;
        // A key that does not fit is none of ours: the length past the buffer makes sure that it matches nothing.
        size_t take = length < room ? length : room;
        memcpy(answer->key + answer->key_length, bytes, take);
        answer->key_length = (uint8_t)(answer->key_length + take);
    } else if (key_at(answer, answer->depth) == KEY_TEXT) {
        answer->content_bytes += (uint32_t)length;
    }
}

static void string_ends(cscan_answer *answer) {
    answer->phase = PHASE_VALUE;
    if (!answer->string_is_key) return;
    if (answer->depth >= 1 && answer->depth < DEPTH_TRACKED) answer->keys[answer->depth] = classify(answer->key, answer->key_length);
    answer->expecting_key = 0;
}

void cscan_answer_reset(cscan_answer *answer) { memset(answer, 0, sizeof(*answer)); }

// Reads a string whose first byte stands at `at`, if all of it is here and it has no escapes: the usual case, without the steps that a cut
// string needs. Returns the offset behind its closing quote, or 0.
static size_t whole_string(cscan_answer *answer, const uint8_t *bytes, size_t at, size_t length) {
    if (answer->expecting_key && in_object(answer)) {
        size_t limit = length - at > sizeof(answer->key) ? at + sizeof(answer->key) : length;
        size_t end = at;
        while (end < limit && bytes[end] != '"' && bytes[end] != '\\') end++;
        if (end == limit || bytes[end] != '"') return 0;
        if (answer->depth < DEPTH_TRACKED) answer->keys[answer->depth] = classify((const char *)bytes + at, end - at);
        answer->expecting_key = 0;
        return end + 1;
    }
    size_t end = string_stop(bytes, at, length);
    if (end == length || bytes[end] != '"') return 0;
    value_begins(answer, '"');
    uint8_t key = key_at(answer, answer->depth);
    if (key == KEY_FINISH_REASON) answer->has_finish = 1;
    if (key == KEY_TEXT) answer->content_bytes += (uint32_t)(end - at);
    return end + 1;
}

static size_t feed_string(cscan_answer *answer, const uint8_t *bytes, size_t at, size_t length) {
    if (answer->escaped) {
        // The byte behind a backslash: in a key it makes the key none of ours, in text it counts as one byte.
        string_takes(answer, bytes + at, 1);
        answer->escaped = 0;
        at++;
    }
    size_t stop = string_stop(bytes, at, length);
    string_takes(answer, bytes + at, stop - at);
    if (stop == length) return stop;
    if (bytes[stop] == '\\') {
        answer->escaped = 1;
        if (answer->string_is_key) answer->key_length = sizeof(answer->key);
    } else {
        string_ends(answer);
    }
    return stop + 1;
}

void cscan_answer_feed(cscan_answer *answer, const uint8_t *bytes, size_t length) {
    size_t at = 0;
    while (at < length) {
        if (answer->phase == PHASE_STRING) {
            at = feed_string(answer, bytes, at, length);
            continue;
        }
        uint8_t byte = bytes[at];
        if (answer->phase == PHASE_NUMBER) {
            if (byte >= '0' && byte <= '9') {
                if (answer->number > INT64_MAX / 10 - 1) answer->number_is_integer = 0;
                else answer->number = answer->number * 10 + (byte - '0');
                at++;
                continue;
            }
            if (byte == '.' || byte == 'e' || byte == 'E' || byte == '+' || byte == '-') {
                answer->number_is_integer = 0;
                at++;
                continue;
            }
            answer->phase = PHASE_VALUE;
            number_ended(answer);
        }
        at++;
        switch (byte) {
        case '"': {
            size_t behind = whole_string(answer, bytes, at, length);
            if (behind != 0) at = behind;
            else string_begins(answer);
            break;
        }
        case '{':
            value_begins(answer, byte);
            container_opens(answer, 1);
            break;
        case '[':
            value_begins(answer, byte);
            container_opens(answer, 0);
            break;
        case '}':
        case ']': container_closes(answer, byte == '}'); break;
        case ',': answer->expecting_key = (uint8_t)in_object(answer); break;
        case 't':
        case 'f':
        case 'n': value_begins(answer, byte); break;
        case '-':
        case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
            value_begins(answer, byte);
            answer->phase = PHASE_NUMBER;
            answer->number_is_integer = byte != '-';
            answer->number = byte == '-' ? 0 : byte - '0';
            break;
        case ':': case ' ': case '\n': case '\r': case '\t': break;
        // What is left of true, false and null.
        case 'r': case 'u': case 'e': case 'a': case 'l': case 's': break;
        default:
            // Before the object stands at most a byte order mark; what follows it is nobody's.
            if (answer->depth > 0 || (!answer->is_object && byte != 0xEF && byte != 0xBB && byte != 0xBF)) answer->is_malformed = 1;
            break;
        }
    }
}
