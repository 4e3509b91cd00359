// A load client for gateways of the OpenAI chat dialect: holds many calls open at once, checks every byte that matters, and times every frame.
//
// One thread, epoll. Each connection makes one call after the other. Behind Benchmarks/native/upstream.c each frame of a stream says which stream
// it belongs to, its number, and when it was written, so that a frame which is lost, doubled, out of order or somebody else's is seen, and the
// time that the hops between add to each frame is known without a second clock.
//
//     cc -O2 -o streamload streamload.c
//     ./streamload --url http://127.0.0.1:8000/v1/chat/completions --header 'Authorization: Bearer KEY' --stream --connections 1000 --frames 64
//     ./streamload --url http://127.0.0.1:8000/v1/chat/completions --connections 1 --seconds 5
//
// Prints one JSON object. Exit status: 0 when every call was answered as it should be, 1 when not, 2 for a mistake in the flags. See usage().
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADERS_MAX = 32,
    READ_BYTES = 256 * 1024,
    KEEP_MAX = 8 * 1024 * 1024, // of an event or a plain answer that has not ended
    EVENTS = 512,
    SUB_BITS = 7, // of the histograms: each power of two has 128 buckets, an error below 1 %
    BUCKETS = 58 << SUB_BITS,
};

// ── Histograms ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

typedef struct {
    uint64_t count, sum, least, most;
    uint64_t *buckets;
} Histogram;

static int bucketOf(uint64_t value) {
    if (value < (1u << SUB_BITS)) return (int)value;
    int power = 63 - __builtin_clzll(value);
    return ((power - SUB_BITS + 1) << SUB_BITS) + (int)((value >> (power - SUB_BITS)) & ((1u << SUB_BITS) - 1));
}

static uint64_t middleOf(int bucket) {
    if (bucket < (1 << SUB_BITS)) return (uint64_t)bucket;
    int shift = (bucket >> SUB_BITS) - 1;
    uint64_t low = ((uint64_t)(bucket & ((1 << SUB_BITS) - 1)) | (1u << SUB_BITS)) << shift;
    return low + ((1ull << shift) >> 1);
}

static void record(Histogram *histogram, int64_t signedValue) {
    uint64_t value = signedValue < 0 ? 0 : (uint64_t)signedValue;
    if (histogram->buckets == NULL) {
        histogram->buckets = calloc(BUCKETS, sizeof *histogram->buckets);
        if (histogram->buckets == NULL) abort();
        histogram->least = UINT64_MAX;
    }
    int bucket = bucketOf(value);
    histogram->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    histogram->count++;
    histogram->sum += value;
    if (value < histogram->least) histogram->least = value;
    if (value > histogram->most) histogram->most = value;
}

static uint64_t percentile(const Histogram *histogram, double share) {
    if (histogram->count == 0) return 0;
    uint64_t wanted = (uint64_t)(share * (double)histogram->count + 0.999999), seen = 0;
    if (wanted < 1) wanted = 1;
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen >= wanted) {
            uint64_t value = middleOf(bucket);
            return value < histogram->least ? histogram->least : value > histogram->most ? histogram->most : value;
        }
    }
    return histogram->most;
}

static uint64_t countBetween(const Histogram *histogram, uint64_t low, uint64_t high) {
    uint64_t count = 0;
    if (histogram->buckets != NULL)
        for (int bucket = bucketOf(low); bucket <= bucketOf(high) && bucket < BUCKETS; bucket++) count += histogram->buckets[bucket];
    return count;
}

static void printHistogram(const char *name, const Histogram *histogram, bool last) {
    printf("  \"%s\": {\"count\": %llu", name, (unsigned long long)histogram->count);
    if (histogram->count > 0) {
        printf(", \"min\": %.1f, \"mean\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99_9\": %.1f, \"p99_99\": %.1f, \"max\": %.1f",
            histogram->least / 1e3, (double)histogram->sum / (double)histogram->count / 1e3, percentile(histogram, 0.5) / 1e3,
            percentile(histogram, 0.9) / 1e3, percentile(histogram, 0.99) / 1e3, percentile(histogram, 0.999) / 1e3,
            percentile(histogram, 0.9999) / 1e3, histogram->most / 1e3);
    }
    printf("}%s\n", last ? "" : ",");
}

// ── What the run is to do, and what came of it ─────────────────────────────────────────────────────────────────────────────────────────────

static struct {
    char host[256], path[1024], unixPath[108];
    int port;
    const char *headers[HEADERS_MAX];
    int headerCount;
    const char *model, *bodyFile;
    bool stream, usage, fresh;
    uint64_t connections, calls;
    double seconds, rampMilliseconds, timeoutSeconds, holdSeconds, thinkMilliseconds, paceMilliseconds;
    uint64_t promptBytes;
    int64_t frames; // -1: as many as come
} wanted = {.port = 80, .model = "gpt-4o-mini", .usage = true, .connections = 1, .timeoutSeconds = 60, .frames = -1, .path = "/"};

typedef enum {
    FAILED_CONNECT,
    FAILED_STATUS,
    FAILED_CLOSED,    // before a byte of the answer
    FAILED_CUT,       // within the answer
    FAILED_TIMEOUT,
    FAILED_MALFORMED, // not HTTP, or not events
    FAILED_EVENT,     // an error event in a stream
    FAILED_BODY,      // 200 with an answer that is not the upstream's
    FAILED_DONE,      // no [DONE], or something after it
    FAILED_USAGE,     // no usage frame though it was asked for
    FAILED_FRAMES,    // lost, doubled, out of order, or of another stream
    FAILURES,
} Failure;

static const char *const failureNames[FAILURES] = {
    "connect", "status", "closed", "cut", "timeout", "malformed", "error_event", "wrong_body", "no_done", "no_usage", "frames"};

static struct {
    uint64_t started, succeeded, failures[FAILURES], statuses[600];
    uint64_t frames, lost, duplicated, disordered, foreign;
    uint64_t connects, reconnects, bytesIn, bytesOut, comments, otherEvents, reads;
    uint64_t stalls2, stalls10, sourceStalls2, sourceStalls10;
    uint64_t openPeak, held, brokenWhileHeld;
    Histogram connect, head, first, total, added, firstAdded, gap;
    uint64_t firstStart, lastEnd;
    char firstFailure[2048];
} result;

typedef enum { IDLE, CONNECTING, SENDING, HEAD, BODY } Phase;
typedef enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, TRAILER } ChunkState;

typedef struct {
    int fd;
    Phase phase;
    bool reused, chunked, untilClose, closes, isStream, trailerLineEmpty;
    int status;
    uint64_t bodyLeft, chunkLeft;
    ChunkState chunkState;
    size_t sent;
    char *kept; // a head, an event or a plain answer that has not ended
    size_t keptLength, keptCapacity;
    uint64_t startNs, sentNs, connectNs, lastFrameNs, lastStamp, deadlineNs, resumeNs;
    uint64_t stream, nextFrame, frames;
    bool done, hasUsage, hasFinish, sawError, afterDone, held, framesBroken, active;
} Connection;

static Connection *connections;
static int poller;
static char *requestBytes;
static size_t requestLength, requestHeadLength;
static char readBuffer[READ_BYTES];
static uint64_t beginNs, stopNs, openStreams, activeCalls;
static bool over; // no new calls
static struct sockaddr_storage address;
static socklen_t addressLength;
static volatile sig_atomic_t interrupted;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void *need(void *pointer) {
    if (pointer == NULL) {
        fputs("error: out of memory\n", stderr);
        exit(2);
    }
    return pointer;
}

// ── The life of a call ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

static void startCall(Connection *connection);

static void drop(Connection *connection) {
    if (connection->fd >= 0) close(connection->fd);
    connection->fd = -1;
    connection->phase = IDLE;
    connection->keptLength = 0;
}

static void endCall(Connection *connection, uint64_t time) {
    if (connection->frames > 0 && connection->isStream) openStreams--;
    connection->active = false;
    activeCalls--;
    result.lastEnd = time;
    connection->phase = IDLE;
    connection->deadlineNs = 0;
    if (connection->fd >= 0 && (connection->closes || wanted.fresh)) drop(connection);
    connection->resumeNs = over ? 0 : time + (uint64_t)(wanted.thinkMilliseconds * 1e6);
    connection->keptLength = 0;
}

static void fail(Connection *connection, Failure kind, const char *detail, size_t detailLength) {
    result.failures[kind]++;
    if (connection->held) result.brokenWhileHeld++;
    if (connection->isStream && wanted.frames > (int64_t)connection->nextFrame) result.lost += (uint64_t)wanted.frames - connection->nextFrame;
    if (result.firstFailure[0] == 0) {
        int length = snprintf(result.firstFailure, 200, "%s, status %d, after %llu frames, %.3f s into the call: ", failureNames[kind], connection->status,
            (unsigned long long)connection->nextFrame, (double)(now() - connection->startNs) / 1e9);
        if (detailLength > 1000) detailLength = 1000;
        if (detail != NULL) memcpy(result.firstFailure + length, detail, detailLength);
        result.firstFailure[length + (detail != NULL ? (int)detailLength : 0)] = 0;
    }
    drop(connection);
    endCall(connection, now());
    // A server that refuses everything is not to be hammered by a loop without a pause.
    if (connection->resumeNs > 0) connection->resumeNs += 10000000;
}

static void finishCall(Connection *connection, uint64_t time) {
    if (connection->isStream) {
        if (connection->sawError) {
            fail(connection, FAILED_EVENT, NULL, 0);
            return;
        }
        if (connection->framesBroken) {
            fail(connection, FAILED_FRAMES, NULL, 0);
            return;
        }
        if (wanted.frames >= 0 && connection->nextFrame < (uint64_t)wanted.frames) {
            fail(connection, connection->done ? FAILED_FRAMES : FAILED_DONE, NULL, 0);
            return;
        }
        if (!connection->done || connection->afterDone) {
            fail(connection, FAILED_DONE, NULL, 0);
            return;
        }
        if (wanted.usage && !connection->hasUsage) {
            fail(connection, FAILED_USAGE, NULL, 0);
            return;
        }
    } else {
        const char *body = connection->kept;
        size_t length = connection->keptLength;
        if (wanted.stream || memmem(body, length, "~answer~", 8) == NULL || memmem(body, length, "\"completion_tokens\"", 19) == NULL) {
            fail(connection, FAILED_BODY, body, length);
            return;
        }
    }
    record(&result.total, (int64_t)(time - connection->startNs));
    result.succeeded++;
    endCall(connection, time);
}

static void keep(Connection *connection, const char *bytes, size_t length) {
    if (connection->keptLength + length > connection->keptCapacity) {
        connection->keptCapacity = (connection->keptLength + length) * 2;
        connection->kept = need(realloc(connection->kept, connection->keptCapacity));
    }
    memcpy(connection->kept + connection->keptLength, bytes, length);
    connection->keptLength += length;
}

static void printOpen(void) {
    fprintf(stderr, "OPEN %llu\n", (unsigned long long)openStreams);
    fflush(stderr);
}

// One content frame: `~stream~number~stamp~`.
static void takeFrame(Connection *connection, uint64_t stream, uint64_t number, uint64_t stamp, uint64_t time) {
    result.frames++;
    if (connection->frames == 0) {
        connection->stream = stream;
        record(&result.first, (int64_t)(time - connection->sentNs));
        record(&result.firstAdded, (int64_t)(time - stamp));
        openStreams++;
        if (openStreams > result.openPeak) result.openPeak = openStreams;
        if (wanted.holdSeconds > 0 && !connection->held) {
            connection->held = true;
            result.held++;
            if (result.held == wanted.connections) {
                printOpen();
                stopNs = time + (uint64_t)(wanted.holdSeconds * 1e9);
            }
        }
    } else {
        uint64_t gap = time - connection->lastFrameNs;
        record(&result.gap, (int64_t)gap);
        if (wanted.paceMilliseconds > 0) {
            uint64_t pace = (uint64_t)(wanted.paceMilliseconds * 1e6), sourceGap = stamp - connection->lastStamp;
            // A gap that the upstream made itself is not the path's.
            if (gap > 2 * pace && sourceGap <= 2 * pace) result.stalls2++;
            if (gap > 10 * pace && sourceGap <= 10 * pace) result.stalls10++;
            if (sourceGap > 2 * pace) result.sourceStalls2++;
            if (sourceGap > 10 * pace) result.sourceStalls10++;
        }
    }
    connection->frames++;
    connection->lastFrameNs = time;
    connection->lastStamp = stamp;
    record(&result.added, (int64_t)(time - stamp));
    if (stream != connection->stream) {
        result.foreign++;
        connection->framesBroken = true;
        return;
    }
    if (number == connection->nextFrame) {
        connection->nextFrame++;
    } else if (number > connection->nextFrame) {
        result.lost += number - connection->nextFrame;
        connection->nextFrame = number + 1;
        connection->framesBroken = true;
    } else {
        if (number + 1 == connection->nextFrame) result.duplicated++;
        else result.disordered++;
        connection->framesBroken = true;
    }
}

static bool digits(const char **place, const char *end, uint64_t *value) {
    const char *begin = *place;
    *value = 0;
    while (*place < end && **place >= '0' && **place <= '9') *value = *value * 10 + (uint64_t)(*(*place)++ - '0');
    return *place > begin && *place < end && *(*place)++ == '~';
}

// One event of a stream, without its blank line.
static void takeEvent(Connection *connection, const char *event, size_t length, uint64_t time) {
    if (length == 0) return;
    if (event[0] == ':') {
        result.comments++;
        return;
    }
    if (connection->done) connection->afterDone = true;
    const char *end = event + length, *data = memmem(event, length, "data:", 5);
    if (data == NULL) {
        result.otherEvents++;
        return;
    }
    data += 5;
    while (data < end && *data == ' ') data++;
    if (end - data >= 6 && memcmp(data, "[DONE]", 6) == 0) {
        connection->done = true;
        return;
    }
    bool isFrame = false;
    const char *place = data;
    while ((place = memchr(place, '~', (size_t)(end - place))) != NULL) { // a hop may put several deltas into one event
        uint64_t stream, number, stamp;
        place++;
        const char *reading = place;
        if (digits(&reading, end, &stream) && digits(&reading, end, &number) && digits(&reading, end, &stamp)) {
            takeFrame(connection, stream, number, stamp, time);
            isFrame = true;
            place = reading;
        }
        if (place >= end) break;
    }
    if (isFrame) return;
    if (memmem(data, (size_t)(end - data), "\"error\"", 7) != NULL && memmem(data, (size_t)(end - data), "\"choices\"", 9) == NULL) {
        connection->sawError = true;
        if (result.firstFailure[0] == 0) snprintf(result.firstFailure, 1000, "error event: %.*s", (int)(length < 900 ? length : 900), event);
        return;
    }
    if (memmem(data, (size_t)(end - data), "\"completion_tokens\"", 19) != NULL) connection->hasUsage = true;
    else if (memmem(data, (size_t)(end - data), "\"stop\"", 6) != NULL) connection->hasFinish = true;
    else result.otherEvents++;
}

// Bytes of an answer's body, the framing of HTTP taken off.
static bool takeBody(Connection *connection, const char *bytes, size_t length, uint64_t time) {
    if (!connection->isStream) {
        if (connection->keptLength + length > KEEP_MAX) return false;
        keep(connection, bytes, length);
        return true;
    }
    while (length > 0) {
        if (connection->keptLength == 0) { // the common case: whole events lie in what was read
            const char *blank = memmem(bytes, length, "\n\n", 2);
            const char *other = memmem(bytes, blank == NULL ? length : (size_t)(blank - bytes), "\r\n\r\n", 4);
            if (other != NULL) blank = other;
            if (blank == NULL) {
                keep(connection, bytes, length);
                return true;
            }
            size_t used = (size_t)(blank - bytes) + (other != NULL ? 4 : 2);
            takeEvent(connection, bytes, (size_t)(blank - bytes), time);
            bytes += used;
            length -= used;
        } else {
            // An event in pieces: take up to the next newline, and see whether a blank line stands at its end.
            const char *newline = memchr(bytes, '\n', length);
            size_t part = newline == NULL ? length : (size_t)(newline - bytes) + 1;
            if (connection->keptLength + part > KEEP_MAX) return false;
            keep(connection, bytes, part);
            bytes += part;
            length -= part;
            size_t kept = connection->keptLength;
            size_t blank = kept >= 2 && memcmp(connection->kept + kept - 2, "\n\n", 2) == 0 ? 2
                : kept >= 4 && memcmp(connection->kept + kept - 4, "\r\n\r\n", 4) == 0     ? 4
                                                                                          : 0;
            if (blank > 0) {
                takeEvent(connection, connection->kept, kept - blank, time);
                connection->keptLength = 0;
            }
        }
    }
    return true;
}

static bool hasToken(const char *value, size_t length, const char *token) {
    size_t tokenLength = strlen(token);
    for (size_t index = 0; index + tokenLength <= length; index++)
        if (strncasecmp(value + index, token, tokenLength) == 0) return true;
    return false;
}

static bool readHead(Connection *connection, const char *head, size_t length) {
    if (length < 12 || memcmp(head, "HTTP/1.", 7) != 0) return false;
    connection->status = atoi(head + 9);
    if (connection->status < 100 || connection->status > 599) return false;
    if (head[7] == '0') connection->closes = true;
    connection->chunked = false;
    connection->isStream = false;
    connection->chunkState = CHUNK_SIZE;
    connection->chunkLeft = 0;
    connection->bodyLeft = 0;
    bool hasLength = false;
    const char *end = head + length, *line = (const char *)memmem(head, length, "\r\n", 2) + 2;
    while (line < end) {
        const char *next = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (next == NULL || next == line) break;
        const char *colon = memchr(line, ':', (size_t)(next - line));
        if (colon == NULL) return false;
        size_t nameLength = (size_t)(colon - line);
        const char *value = colon + 1;
        while (value < next && *value == ' ') value++;
        size_t valueLength = (size_t)(next - value);
        if (nameLength == 14 && strncasecmp(line, "content-length", 14) == 0) {
            connection->bodyLeft = strtoull(value, NULL, 10);
            hasLength = true;
        } else if (nameLength == 17 && strncasecmp(line, "transfer-encoding", 17) == 0) {
            connection->chunked = hasToken(value, valueLength, "chunked");
        } else if (nameLength == 10 && strncasecmp(line, "connection", 10) == 0) {
            if (hasToken(value, valueLength, "close")) connection->closes = true;
            else if (hasToken(value, valueLength, "keep-alive") && connection->sent == requestLength) connection->closes = false;
        } else if (nameLength == 12 && strncasecmp(line, "content-type", 12) == 0) {
            connection->isStream = hasToken(value, valueLength, "text/event-stream");
        }
        line = next + 2;
    }
    connection->untilClose = !connection->chunked && !hasLength;
    if (connection->untilClose) connection->closes = true;
    return true;
}

static void endOfAnswer(Connection *connection, uint64_t time) {
    if (connection->isStream && connection->keptLength > 0) { // a last event without its blank line
        takeEvent(connection, connection->kept, connection->keptLength, time);
        connection->keptLength = 0;
    }
    result.statuses[connection->status]++;
    if (connection->status < 200 || connection->status > 299) {
        fail(connection, FAILED_STATUS, connection->kept, connection->keptLength);
        return;
    }
    finishCall(connection, time);
}

// Takes what was read; the framing of HTTP comes off here.
static void take(Connection *connection, const char *bytes, size_t length, uint64_t time) {
    while (length > 0) {
        if (connection->phase == HEAD) {
            size_t before = connection->keptLength;
            const char *end;
            if (before == 0 && (end = memmem(bytes, length, "\r\n\r\n", 4)) != NULL) {
                size_t headLength = (size_t)(end - bytes) + 4;
                if (!readHead(connection, bytes, headLength)) {
                    fail(connection, FAILED_MALFORMED, bytes, length);
                    return;
                }
                bytes += headLength;
                length -= headLength;
            } else {
                keep(connection, bytes, length);
                end = memmem(connection->kept, connection->keptLength, "\r\n\r\n", 4);
                if (end == NULL) {
                    if (connection->keptLength > 65536) fail(connection, FAILED_MALFORMED, connection->kept, 500);
                    return;
                }
                size_t headLength = (size_t)(end - connection->kept) + 4;
                if (!readHead(connection, connection->kept, headLength)) {
                    fail(connection, FAILED_MALFORMED, connection->kept, connection->keptLength);
                    return;
                }
                bytes += headLength - before;
                length -= headLength - before;
                connection->keptLength = 0;
            }
            if (connection->status < 200) continue; // 100 Continue
            record(&result.head, (int64_t)(time - connection->sentNs));
            connection->phase = BODY;
            if (!connection->chunked && !connection->untilClose && connection->bodyLeft == 0) {
                endOfAnswer(connection, time);
                return;
            }
            continue;
        }
        if (connection->phase != BODY) { // bytes that belong to no call
            fail(connection, FAILED_MALFORMED, bytes, length);
            return;
        }
        if (!connection->chunked) {
            size_t part = connection->untilClose || length < connection->bodyLeft ? length : (size_t)connection->bodyLeft;
            if (!takeBody(connection, bytes, part, time)) {
                fail(connection, FAILED_MALFORMED, bytes, part);
                return;
            }
            bytes += part;
            length -= part;
            if (!connection->untilClose && (connection->bodyLeft -= part) == 0) {
                if (length > 0) connection->closes = true;
                endOfAnswer(connection, time);
                return;
            }
            continue;
        }
        switch (connection->chunkState) {
        case CHUNK_SIZE:
        case CHUNK_EXTENSION: {
            char byte = *bytes++;
            length--;
            if (byte == '\n') {
                connection->chunkState = connection->chunkLeft > 0 ? CHUNK_DATA : TRAILER;
                connection->trailerLineEmpty = true;
            } else if (byte == ';') {
                connection->chunkState = CHUNK_EXTENSION;
            } else if (connection->chunkState == CHUNK_SIZE && byte != '\r') {
                int digit = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 32) >= 'a' && (byte | 32) <= 'f' ? (byte | 32) - 'a' + 10 : -1;
                if (digit < 0 || connection->chunkLeft > (1ull << 40)) {
                    fail(connection, FAILED_MALFORMED, bytes - 1, length);
                    return;
                }
                connection->chunkLeft = connection->chunkLeft * 16 + (uint64_t)digit;
            }
            break;
        }
        case CHUNK_DATA: {
            size_t part = length < connection->chunkLeft ? length : (size_t)connection->chunkLeft;
            if (!takeBody(connection, bytes, part, time)) {
                fail(connection, FAILED_MALFORMED, bytes, part);
                return;
            }
            bytes += part;
            length -= part;
            connection->chunkLeft -= part;
            if (connection->chunkLeft == 0) connection->chunkState = CHUNK_END;
            break;
        }
        case CHUNK_END:
            if (*bytes == '\n') connection->chunkState = CHUNK_SIZE;
            bytes++;
            length--;
            break;
        case TRAILER: {
            char byte = *bytes++;
            length--;
            if (byte == '\n') {
                if (connection->trailerLineEmpty) {
                    if (length > 0) connection->closes = true;
                    endOfAnswer(connection, time);
                    return;
                }
                connection->trailerLineEmpty = true;
            } else if (byte != '\r') {
                connection->trailerLineEmpty = false;
            }
            break;
        }
        }
    }
}

// `ended`: the other side has said that no more comes, so there will be no further edge; read on to the end.
static void readAnswer(Connection *connection, bool ended) {
    while (connection->fd >= 0) {
        ssize_t got = recv(connection->fd, readBuffer, READ_BYTES, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        uint64_t time = now();
        if (got <= 0) {
            if (connection->phase == IDLE) {
                drop(connection);
            } else if (connection->phase == BODY && connection->untilClose && got == 0) {
                endOfAnswer(connection, time);
            } else if ((connection->phase == HEAD || connection->phase == SENDING) && connection->keptLength == 0) {
                fail(connection, FAILED_CLOSED, connection->reused ? "reused connection" : "fresh connection", 16);
            } else {
                fail(connection, FAILED_CUT, NULL, 0);
            }
            return;
        }
        result.bytesIn += (uint64_t)got;
        result.reads++;
        if (connection->phase == SENDING) { // an answer before the request was out: read it, never reuse the connection
            connection->phase = HEAD;
            connection->sentNs = time;
        }
        take(connection, readBuffer, (size_t)got, time);
        if ((size_t)got < READ_BYTES && !ended) return; // an edge follows when more comes
    }
}

static void sendRequest(Connection *connection) {
    // Counted from before the write: over loopback the other side may run before it returns.
    if (connection->sent == 0) connection->sentNs = now();
    while (connection->sent < requestLength) {
        ssize_t part = send(connection->fd, requestBytes + connection->sent, requestLength - connection->sent, MSG_NOSIGNAL);
        if (part < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return;
            readAnswer(connection, true); // the answer to a refused request may be there
            if (connection->active && connection->phase == SENDING) fail(connection, FAILED_CLOSED, "while sending", 13);
            return;
        }
        connection->sent += (size_t)part;
        result.bytesOut += (uint64_t)part;
    }
    connection->phase = HEAD;
}

static void startCall(Connection *connection) {
    uint64_t time = now();
    connection->resumeNs = 0;
    connection->active = true;
    activeCalls++;
    result.started++;
    if (result.firstStart == 0) result.firstStart = time;
    connection->startNs = time;
    connection->deadlineNs = time + (uint64_t)(wanted.timeoutSeconds * 1e9);
    connection->sent = 0;
    connection->keptLength = 0;
    connection->nextFrame = connection->frames = 0;
    connection->status = 0;
    connection->isStream = connection->closes = false;
    connection->done = connection->hasUsage = connection->hasFinish = connection->sawError = connection->afterDone = connection->framesBroken = false;
    if (connection->fd >= 0) {
        connection->reused = true;
        connection->phase = SENDING;
        sendRequest(connection);
        return;
    }
    connection->reused = false;
    connection->connectNs = time;
    result.connects++;
    connection->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        fail(connection, FAILED_CONNECT, strerror(errno), strlen(strerror(errno)));
        return;
    }
    int on = 1;
    if (address.ss_family == AF_INET) setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->phase = CONNECTING;
    if (connect(connection->fd, (struct sockaddr *)&address, addressLength) != 0 && errno != EINPROGRESS) {
        fail(connection, FAILED_CONNECT, strerror(errno), strlen(strerror(errno)));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event);
}

static void onEvent(Connection *connection, uint32_t what) {
    if (connection->fd < 0) return;
    if (connection->phase == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) {
            fail(connection, FAILED_CONNECT, strerror(error), strlen(strerror(error)));
            return;
        }
        if (!(what & EPOLLOUT)) return;
        record(&result.connect, (int64_t)(now() - connection->connectNs));
        connection->phase = SENDING;
        sendRequest(connection);
        return;
    }
    if (connection->phase == SENDING && (what & EPOLLOUT)) sendRequest(connection);
    if (what & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) readAnswer(connection, what & (EPOLLRDHUP | EPOLLERR | EPOLLHUP));
}

// ── Set-up and report ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

static void prepareRequest(void) {
    char *body;
    size_t length;
    if (wanted.bodyFile != NULL) {
        FILE *file = fopen(wanted.bodyFile, "rb");
        struct stat facts;
        if (file == NULL || fstat(fileno(file), &facts) != 0) {
            fprintf(stderr, "error: cannot read %s: %s\n", wanted.bodyFile, strerror(errno));
            exit(2);
        }
        length = (size_t)facts.st_size;
        body = need(malloc(length + 1));
        if (fread(body, 1, length, file) != length) {
            fprintf(stderr, "error: cannot read %s\n", wanted.bodyFile);
            exit(2);
        }
        fclose(file);
    } else {
        static const char prompt[] =
            "We are two adults and a child of six and want to spend ten days in Portugal in May. We like small towns, good food and walks by "
            "the sea, and we do not want to drive. Which three places would you combine, and in which order?\\n";
        size_t promptLength = wanted.promptBytes > 0 ? (size_t)wanted.promptBytes : sizeof prompt - 1;
        body = need(malloc(promptLength + 2048));
        length = (size_t)sprintf(body, "{\"model\":\"%s\",%s\"messages\":[{\"role\":\"system\",\"content\":\"You are the assistant of a travel agency. Answer "
            "briefly, in the language of the question, and only with facts that stand in the conversation. If something is missing, ask one "
            "question.\"},{\"role\":\"user\",\"content\":\"", wanted.model,
            !wanted.stream ? "" : wanted.usage ? "\"stream\":true,\"stream_options\":{\"include_usage\":true}," : "\"stream\":true,");
        size_t written = 0;
        while (written + sizeof prompt - 1 <= promptLength) { // whole sentences, so that no escape is cut
            memcpy(body + length + written, prompt, sizeof prompt - 1);
            written += sizeof prompt - 1;
        }
        while (written < promptLength) body[length + written++] = '.';
        length += written;
        length += (size_t)sprintf(body + length, "\"}],\"temperature\":0.7,\"max_tokens\":400,\"user\":\"customer-20817\"}");
    }
    requestBytes = need(malloc(length + 65536));
    int head = snprintf(requestBytes, 65536, "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n", wanted.path,
        wanted.host, wanted.port, length);
    for (int index = 0; index < wanted.headerCount; index++)
        head += snprintf(requestBytes + head, (size_t)(65536 - head), "%s\r\n", wanted.headers[index]);
    if (wanted.fresh) head += snprintf(requestBytes + head, (size_t)(65536 - head), "Connection: close\r\n");
    head += snprintf(requestBytes + head, (size_t)(65536 - head), "\r\n");
    memcpy(requestBytes + head, body, length);
    requestHeadLength = (size_t)head;
    requestLength = (size_t)head + length;
    free(body);
}

static void resolve(const char *url) {
    if (strncmp(url, "http://", 7) != 0) {
        fputs("error: --url is http://HOST[:PORT]/PATH\n", stderr);
        exit(2);
    }
    url += 7;
    size_t hostLength = strcspn(url, ":/");
    if (hostLength == 0 || hostLength >= sizeof wanted.host) {
        fputs("error: --url names no host\n", stderr);
        exit(2);
    }
    memcpy(wanted.host, url, hostLength);
    wanted.host[hostLength] = 0;
    url += hostLength;
    if (*url == ':') wanted.port = (int)strtol(url + 1, (char **)&url, 10);
    if (*url == '/') snprintf(wanted.path, sizeof wanted.path, "%s", url);
    if (wanted.unixPath[0] != 0) {
        struct sockaddr_un *place = (struct sockaddr_un *)&address;
        place->sun_family = AF_UNIX;
        snprintf(place->sun_path, sizeof place->sun_path, "%s", wanted.unixPath);
        addressLength = sizeof *place;
        return;
    }
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    char port[16];
    snprintf(port, sizeof port, "%d", wanted.port);
    int error = getaddrinfo(wanted.host, port, &hints, &found);
    if (error != 0) {
        fprintf(stderr, "error: %s: %s\n", wanted.host, gai_strerror(error));
        exit(2);
    }
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    addressLength = found->ai_addrlen;
    freeaddrinfo(found);
}

static void printText(const char *text) {
    putchar('"');
    for (; *text != 0; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') printf("\\%c", byte);
        else if (byte < 0x20 || byte > 0x7e) printf("\\u%04x", byte);
        else putchar(byte);
    }
    putchar('"');
}

static uint64_t failureCount(void) {
    uint64_t count = 0;
    for (int kind = 0; kind < FAILURES; kind++) count += result.failures[kind];
    return count;
}

static void report(void) {
    double seconds = result.lastEnd > result.firstStart ? (double)(result.lastEnd - result.firstStart) / 1e9 : 0;
    struct rusage self;
    getrusage(RUSAGE_SELF, &self);
    double cpu = (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) + (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec) / 1e6;
    printf("{\n  \"started\": %llu, \"succeeded\": %llu, \"failed\": %llu, \"seconds\": %.6f, \"calls_per_second\": %.1f, \"client_cpu_seconds\": %.3f,\n",
        (unsigned long long)result.started, (unsigned long long)result.succeeded, (unsigned long long)failureCount(), seconds,
        seconds > 0 ? (double)result.succeeded / seconds : 0, cpu);
    printf("  \"failures\": {");
    bool first = true;
    for (int kind = 0; kind < FAILURES; kind++) {
        if (result.failures[kind] == 0) continue;
        printf("%s\"%s\": %llu", first ? "" : ", ", failureNames[kind], (unsigned long long)result.failures[kind]);
        first = false;
    }
    printf("}, \"statuses\": {");
    first = true;
    for (int status = 0; status < 600; status++) {
        if (result.statuses[status] == 0) continue;
        printf("%s\"%d\": %llu", first ? "" : ", ", status, (unsigned long long)result.statuses[status]);
        first = false;
    }
    printf("},\n  \"first_failure\": ");
    if (result.firstFailure[0] == 0) printf("null");
    else printText(result.firstFailure);
    printf(",\n  \"connects\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu, \"reads\": %llu, \"open_peak\": %llu, \"held\": %llu, \"broken_while_held\": %llu,\n",
        (unsigned long long)result.connects, (unsigned long long)result.bytesIn, (unsigned long long)result.bytesOut, (unsigned long long)result.reads,
        (unsigned long long)result.openPeak, (unsigned long long)result.held, (unsigned long long)result.brokenWhileHeld);
    printf("  \"frames\": %llu, \"lost\": %llu, \"duplicated\": %llu, \"disordered\": %llu, \"foreign\": %llu, \"comments\": %llu, \"other_events\": %llu,\n",
        (unsigned long long)result.frames, (unsigned long long)result.lost, (unsigned long long)result.duplicated,
        (unsigned long long)result.disordered, (unsigned long long)result.foreign, (unsigned long long)result.comments,
        (unsigned long long)result.otherEvents);
    printf("  \"stalls_2x\": %llu, \"stalls_10x\": %llu, \"source_stalls_2x\": %llu, \"source_stalls_10x\": %llu, \"frames_added_35_to_50_ms\": %llu,\n",
        (unsigned long long)result.stalls2, (unsigned long long)result.stalls10, (unsigned long long)result.sourceStalls2,
        (unsigned long long)result.sourceStalls10, (unsigned long long)countBetween(&result.added, 35000000, 50000000));
    printHistogram("connect_us", &result.connect, false);
    printHistogram("head_us", &result.head, false);
    printHistogram("first_frame_us", &result.first, false);
    printHistogram("first_frame_added_us", &result.firstAdded, false);
    printHistogram("frame_added_us", &result.added, false);
    printHistogram("frame_gap_us", &result.gap, false);
    printHistogram("total_us", &result.total, true);
    printf("}\n");
}

static void onSignal(int number) {
    (void)number;
    interrupted = 1;
}

static void usage(FILE *file) {
    fputs("streamload: calls of the OpenAI chat dialect, many at once, every answer checked\n"
          "  --url URL            http://HOST[:PORT]/PATH\n"
          "  --unix PATH          connect to a Unix socket instead of the URL's host\n"
          "  --header 'N: V'      sent with every call; may be given up to 32 times\n"
          "  --model NAME         (gpt-4o-mini)\n"
          "  --stream             streamed calls; without it plain ones\n"
          "  --no-usage           do not ask for the usage frame, and do not expect it\n"
          "  --connections N      each makes one call after the other (1)\n"
          "  --calls N            in all (one per connection, unless --seconds is given)\n"
          "  --seconds S          begin calls for that long\n"
          "  --ramp-ms N          spread the first calls over that time (0)\n"
          "  --think-ms N         pause of a connection between two calls (0)\n"
          "  --frames N           expected of each stream; fewer is a loss\n"
          "  --pace-ms N          of the upstream; gaps over 2 and 10 times that are stalls, unless the upstream made them\n"
          "  --prompt-bytes N     size of the prompt (about 200)\n"
          "  --body-file FILE     the whole request body instead\n"
          "  --hold S             keep every stream open; S seconds after all of them had a frame (\"OPEN N\" on stderr), leave them\n"
          "  --timeout S          for one call (60)\n"
          "  --fresh              a connection of its own for each call\n",
        file);
}

static double number(const char *text, const char *flag) {
    char *end;
    double value = strtod(text, &end);
    if (*text == 0 || *end != 0 || value < 0) {
        fprintf(stderr, "error: %s takes a number, not '%s'\n", flag, text);
        exit(2);
    }
    return value;
}

int main(int count, char **arguments) {
    static const struct option options[] = {{"url", 1, 0, 'u'}, {"unix", 1, 0, 'U'}, {"header", 1, 0, 'H'}, {"model", 1, 0, 'm'}, {"stream", 0, 0, 's'},
        {"no-usage", 0, 0, 'n'}, {"connections", 1, 0, 'c'}, {"calls", 1, 0, 'N'}, {"seconds", 1, 0, 'S'}, {"ramp-ms", 1, 0, 'r'},
        {"think-ms", 1, 0, 't'}, {"frames", 1, 0, 'f'}, {"pace-ms", 1, 0, 'p'}, {"prompt-bytes", 1, 0, 'b'}, {"body-file", 1, 0, 'B'},
        {"hold", 1, 0, 'h'}, {"timeout", 1, 0, 'T'}, {"fresh", 0, 0, 'F'}, {"help", 0, 0, '?'}, {0, 0, 0, 0}};
    const char *url = NULL;
    int option, index = 0;
    while ((option = getopt_long(count, arguments, "", options, &index)) != -1) {
        const char *flag = option == '?' ? "" : options[index].name;
        switch (option) {
        case 'u': url = optarg; break;
        case 'U': snprintf(wanted.unixPath, sizeof wanted.unixPath, "%s", optarg); break;
        case 'H':
            if (wanted.headerCount == HEADERS_MAX) {
                fputs("error: too many headers\n", stderr);
                return 2;
            }
            wanted.headers[wanted.headerCount++] = optarg;
            break;
        case 'm': wanted.model = optarg; break;
        case 's': wanted.stream = true; break;
        case 'n': wanted.usage = false; break;
        case 'c': wanted.connections = (uint64_t)number(optarg, flag); break;
        case 'N': wanted.calls = (uint64_t)number(optarg, flag); break;
        case 'S': wanted.seconds = number(optarg, flag); break;
        case 'r': wanted.rampMilliseconds = number(optarg, flag); break;
        case 't': wanted.thinkMilliseconds = number(optarg, flag); break;
        case 'f': wanted.frames = (int64_t)number(optarg, flag); break;
        case 'p': wanted.paceMilliseconds = number(optarg, flag); break;
        case 'b': wanted.promptBytes = (uint64_t)number(optarg, flag); break;
        case 'B': wanted.bodyFile = optarg; break;
        case 'h': wanted.holdSeconds = number(optarg, flag); break;
        case 'T': wanted.timeoutSeconds = number(optarg, flag); break;
        case 'F': wanted.fresh = true; break;
        default: usage(stderr); return 2;
        }
    }
    if (url == NULL || wanted.connections == 0 || optind < count) {
        usage(stderr);
        return 2;
    }
    if (wanted.calls == 0 && wanted.seconds == 0) wanted.calls = wanted.connections;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        if (wanted.connections + 16 > files.rlim_cur) {
            fprintf(stderr, "error: %llu connections need a higher limit of open files than %llu\n", (unsigned long long)wanted.connections,
                (unsigned long long)files.rlim_cur);
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    struct sigaction action = {.sa_handler = onSignal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    resolve(url);
    prepareRequest();

    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = need(calloc(wanted.connections, sizeof *connections));
    beginNs = now();
    if (wanted.seconds > 0) stopNs = beginNs + (uint64_t)(wanted.seconds * 1e9);
    double step = wanted.rampMilliseconds * 1e6 / (double)wanted.connections;
    for (uint64_t place = 0; place < wanted.connections; place++) {
        connections[place].fd = -1;
        connections[place].resumeNs = beginNs + (uint64_t)(step * (double)place) + 1;
    }

    static struct epoll_event events[EVENTS];
    uint64_t nextSweep = 0, ramped = 0; // connections before `ramped` have begun
    bool pausing = wanted.thinkMilliseconds > 0;
    while (true) {
        uint64_t time = now();
        if (interrupted || (stopNs > 0 && time >= stopNs)) over = true;
        if (over && (activeCalls == 0 || wanted.holdSeconds > 0 || interrupted)) break;
        while (!over && ramped < wanted.connections && connections[ramped].resumeNs <= time && (wanted.calls == 0 || result.started < wanted.calls)) {
            startCall(&connections[ramped++]);
        }
        // Deadlines and pauses are looked at in sweeps, so that a call costs no timer; a call that may follow at once does not wait for them.
        if (time >= nextSweep) {
            nextSweep = time + (pausing ? 1000000 : 20000000);
            for (uint64_t place = 0; place < ramped; place++) {
                Connection *connection = &connections[place];
                if (connection->active && connection->deadlineNs <= time) fail(connection, FAILED_TIMEOUT, NULL, 0);
                else if (!connection->active && connection->resumeNs > 0 && connection->resumeNs <= time && !over
                    && (wanted.calls == 0 || result.started < wanted.calls))
                    startCall(connection);
            }
        }
        if (wanted.calls > 0 && result.started >= wanted.calls && activeCalls == 0) break;
        if (wanted.holdSeconds > 0 && activeCalls == 0 && ramped == wanted.connections) break;
        uint64_t wake = nextSweep;
        if (!over && ramped < wanted.connections && connections[ramped].resumeNs < wake) wake = connections[ramped].resumeNs;
        time = now();
        int timeout = wake <= time ? 0 : (int)((wake - time + 999999) / 1000000);
        int ready = epoll_wait(poller, events, EVENTS, timeout);
        for (int place = 0; place < ready; place++) {
            Connection *connection = events[place].data.ptr;
            onEvent(connection, events[place].events);
            time = now();
            if (!connection->active && connection->resumeNs > 0 && connection->resumeNs <= time && !over && wanted.holdSeconds == 0
                && (stopNs == 0 || time < stopNs) && (wanted.calls == 0 || result.started < wanted.calls))
                startCall(connection);
        }
    }
    report();
    bool complete = wanted.holdSeconds > 0 ? result.held == wanted.connections : result.started > 0 && (!interrupted || activeCalls == 0);
    return failureCount() == 0 && complete ? 0 : 1;
}
