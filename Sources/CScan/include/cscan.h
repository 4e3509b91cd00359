#pragma once

#include <stddef.h>
#include <stdint.h>

// Scanners of bytes that cross the hot path. None allocates per call, keeps what it was given, or reads past the length
// (the request scanner reads, but does not use, the padding behind it).

#ifdef __cplusplus
extern "C" {
#endif

// ── The request: which top-level fields matter, and where they stand ──

enum {
    CSCAN_ABSENT = 0,
    CSCAN_STRING = 1,
    CSCAN_NUMBER = 2,
    CSCAN_TRUE = 3,
    CSCAN_FALSE = 4,
    CSCAN_NULL = 5,
    CSCAN_OBJECT = 6,
    CSCAN_ARRAY = 7,
};

// The fields that Martlet governs; a second one of any of them is an error.
enum {
    CSCAN_MODEL = 0,
    CSCAN_STREAM = 1,
    CSCAN_STREAM_OPTIONS = 2,
    CSCAN_MESSAGES = 3,
    CSCAN_PROMPT = 4,
    CSCAN_INPUT = 5,
    CSCAN_MAX_TOKENS = 6,
    CSCAN_MAX_COMPLETION_TOKENS = 7,
    CSCAN_N = 8,
    CSCAN_USER = 9,
    CSCAN_INCLUDE_USAGE = 10,  // inside stream_options
    CSCAN_FIELD_COUNT = 11,
};

typedef struct {
    uint32_t start;  // of the value, in bytes from the start of the body
    uint32_t end;    // behind a scalar's last byte; equal to start for objects and arrays
    uint8_t type;
} cscan_field;

typedef struct {
    cscan_field fields[CSCAN_FIELD_COUNT];
    uint32_t object_open;         // behind the top-level '{'
    uint32_t options_open;        // behind the '{' of stream_options
    uint8_t object_is_empty;
    uint8_t options_are_empty;
    int8_t duplicate;             // the field that is there twice, or -1
    int64_t max_tokens;           // of max_completion_tokens, else of max_tokens; -1 when neither is an integer
    int64_t n;                    // -1 when it is no integer
    const char *model;            // unescaped; valid until the next scan with the same scanner
    size_t model_length;
    const char *user;             // unescaped; likewise
    size_t user_length;
} cscan_request;

enum {
    CSCAN_OK = 0,
    CSCAN_EMPTY = 1,
    CSCAN_NOT_UTF8 = 2,
    CSCAN_NOT_OBJECT = 3,
    CSCAN_MALFORMED = 4,
    CSCAN_TRAILING = 5,
    CSCAN_TOO_DEEP = 6,
    CSCAN_NO_MEMORY = 7,
};

// The readable bytes that must follow a body.
size_t cscan_padding(void);
void *cscan_scanner_create(void);
void cscan_scanner_destroy(void *scanner);
// `bytes` must be readable for `length + cscan_padding()`. Returns one of the codes above.
int cscan_request_scan(void *scanner, const char *bytes, size_t length, cscan_request *out);

// ── The answer: tokens, errors and ends, found in passing ──

typedef struct {
    int64_t prompt_tokens;
    int64_t completion_tokens;
    int64_t cached_tokens;
    int64_t reasoning_tokens;
    uint32_t content_bytes;   // of text that the model produced: content, text, arguments, reasoning, refusal
    uint8_t has_usage;        // a top-level `usage` object with counts that can be read
    uint8_t usage_is_bad;     // one of its counts is no whole number, or no number that a call can have
    uint8_t has_error;        // a top-level `error` that is neither null nor false
    uint8_t has_finish;       // a finish_reason that is a string
    uint8_t has_choices;      // a top-level `choices` array with something in it
    uint8_t has_data;         // a top-level `data` or `choices` array at all
    uint8_t is_object;        // the text is a JSON object
    uint8_t is_whole;         // and its last brace has been read, and nothing on the way to it was malformed
    uint8_t is_malformed;     // a bracket that closes another kind, a word that no JSON has, or bytes behind the end
    // The state between two feeds.
    uint8_t is_ended;         // the last brace has been read: what follows is only looked at for being there
    uint8_t phase;
    uint8_t escaped;
    uint8_t key_length;
    uint8_t string_is_key;
    uint8_t expecting_key;
    int32_t depth;
    uint64_t containers;      // bit per depth below 64: 1 object, 0 array
    uint8_t keys[8];          // the key in force at depths 1 to 7
    int64_t number;
    uint8_t number_is_integer;
    char key[24];
} cscan_answer;

void cscan_answer_reset(cscan_answer *answer);
// Feeds the next bytes of one JSON text. The text may be cut anywhere.
void cscan_answer_feed(cscan_answer *answer, const uint8_t *bytes, size_t length);

// Finds the end of the first server-sent event in `bytes`: the offset behind its blank line, or 0 when it is not complete.
// `from`: how many bytes an earlier look has already found to hold no end.
size_t cscan_event_end(const uint8_t *bytes, size_t length, size_t from);

typedef struct {
    uint8_t has_data;   // there was a data line
    uint8_t is_done;    // its data is [DONE]
    uint8_t is_utf8;    // and all of it is UTF-8
} cscan_event;

// Looks into one whole event and feeds its data to `answer`, which is reset first.
void cscan_event_scan(const uint8_t *bytes, size_t length, cscan_event *out, cscan_answer *answer);

// Whether the bytes are valid UTF-8.
int cscan_is_utf8(const uint8_t *bytes, size_t length);

// ── Checksums ──

// CRC-32C (Castagnoli), as used by the journal; `seed` is 0 or an earlier result.
uint32_t cscan_crc32c(uint32_t seed, const uint8_t *bytes, size_t length);

#ifdef __cplusplus
}
#endif
