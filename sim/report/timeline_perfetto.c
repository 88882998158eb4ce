/* timeline_perfetto.c - Perfetto's own format: about a third of the JSON's size, and it loads several times as fast.
 *
 * A trace is a sequence of packets in protobuf's wire format (protobuf.dev/programming-guides/encoding); numbers of fields are those of
 * perfetto's trace_packet.proto, track_descriptor.proto and track_event.proto. All packets are of one sequence. Events of a
 * track come in the order of time but for slices within slices, which the reader sorts by time. */
#include "base/mem.h"
#include "report/spans.h"
#include "report/timeline_in.h"

#include <assert.h>
#include <string.h>

enum {
    TRACE_PACKET = 1,

    PACKET_TIMESTAMP = 8, /* ns */
    PACKET_SEQUENCE = 10,
    PACKET_EVENT = 11,
    PACKET_TRACK = 60,

    TRACK_UUID = 1,
    TRACK_NAME = 2,
    TRACK_PROCESS = 3,
    TRACK_THREAD = 4,
    TRACK_PARENT = 5,
    TRACK_COUNTER = 8,
    TRACK_RANK = 12, /* sibling_order_rank */

    PROCESS_PID = 1,
    PROCESS_NAME = 6,
    THREAD_PID = 1,
    THREAD_TID = 2,
    THREAD_NAME = 5,
    COUNTER_UNIT_NAME = 6,

    EVENT_ANNOTATION = 4,
    EVENT_TYPE = 9,
    EVENT_TRACK = 11,
    EVENT_CATEGORY = 22,
    EVENT_NAME = 23,
    EVENT_COUNTER = 44, /* double */
    EVENT_FLOW = 47,    /* fixed64 */
    EVENT_FLOW_END = 48,

    ANNOTATION_UINT = 3,
    ANNOTATION_NAME = 10,

    SLICE_BEGIN = 1,
    SLICE_END = 2,
    COUNTER = 4
};

enum { VARINT, FIXED64, BYTES }; /* wire types */

enum { SEQUENCE = 1, MESSAGE_MAX = 2048, LABEL_MAX = 512 };

typedef struct perfetto {
    fs_out *out;
} perfetto;

/* A message in the making; longer ones than names allow cannot be. */
typedef struct message {
    unsigned char bytes[MESSAGE_MAX];
    size_t size;
} message;

static void add_byte(message *m, unsigned char byte)
{
    assert(m->size < MESSAGE_MAX);
    m->bytes[m->size++] = byte;
}

static void add_raw_varint(message *m, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        add_byte(m, (unsigned char)(value | 0x80));
    add_byte(m, (unsigned char)value);
}

static void add_key(message *m, uint32_t field, uint32_t type)
{
    add_raw_varint(m, (uint64_t)field << 3 | type);
}

static void add_varint(message *m, uint32_t field, uint64_t value)
{
    add_key(m, field, VARINT);
    add_raw_varint(m, value);
}

static void add_fixed64(message *m, uint32_t field, uint64_t value)
{
    add_key(m, field, FIXED64);
    for (int i = 0; i < 8; i++)
        add_byte(m, (unsigned char)(value >> 8 * i));
}

static void add_double(message *m, uint32_t field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_fixed64(m, field, bits);
}

static void add_bytes(message *m, uint32_t field, const void *bytes, size_t size)
{
    add_key(m, field, BYTES);
    add_raw_varint(m, size);
    assert(m->size + size <= MESSAGE_MAX);
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

/* Cut where it is very long, between characters of UTF-8. */
static void add_string(message *m, uint32_t field, const char *text)
{
    size_t length = strlen(text);
    if (length > LABEL_MAX)
        for (length = LABEL_MAX; ((unsigned char)text[length] & 0xC0) == 0x80;)
            length--;
    add_bytes(m, field, text, length);
}

static void add_message(message *m, uint32_t field, const message *inner)
{
    add_bytes(m, field, inner->bytes, inner->size);
}

/* The packet that holds this. */
static void write_packet(fs_timeline *t, uint64_t now_ns, uint32_t field, const message *content)
{
    message packet = {.size = 0}, framed = {.size = 0};
    add_varint(&packet, PACKET_TIMESTAMP, now_ns);
    add_varint(&packet, PACKET_SEQUENCE, SEQUENCE);
    add_message(&packet, field, content);
    add_message(&framed, TRACE_PACKET, &packet);
    fs_out_write(((perfetto *)t->state)->out, (const char *)framed.bytes, framed.size);
}

/* ---- tracks: numbers from 1, processes first, then threads, then tiers -------------------------------------------- */

static uint64_t process_of(uint32_t track)
{
    return (uint64_t)track + 1;
}

static uint64_t thread_of(const fs_timeline *t, uint32_t track, uint32_t stream)
{
    return (uint64_t)t->n_tracks + 1 + (uint64_t)track * t->work->n_streams + stream;
}

static uint64_t counter_of(const fs_timeline *t, uint32_t tier)
{
    return (uint64_t)t->n_tracks + 1 + (uint64_t)t->n_tracks * t->work->n_streams + tier;
}

static void write_thread(fs_timeline *t, uint32_t track, uint32_t stream)
{
    message thread = {.size = 0}, descriptor = {.size = 0};
    add_varint(&thread, THREAD_PID, process_of(track));
    add_varint(&thread, THREAD_TID, thread_of(t, track, stream));
    add_string(&thread, THREAD_NAME, t->work->streams[stream]);
    add_varint(&descriptor, TRACK_UUID, thread_of(t, track, stream));
    add_varint(&descriptor, TRACK_PARENT, process_of(track));
    add_message(&descriptor, TRACK_THREAD, &thread);
    add_varint(&descriptor, TRACK_RANK, stream);
    write_packet(t, 0, PACKET_TRACK, &descriptor);
}

static fs_status write_process(fs_timeline *t, uint32_t track, fs_err *err)
{
    message process = {.size = 0}, descriptor = {.size = 0};
    const char *name = fs_timeline_track_name(t, track);
    if (!name)
        return fs_fail_nomem(err);
    add_varint(&process, PROCESS_PID, process_of(track));
    add_string(&process, PROCESS_NAME, name);
    add_varint(&descriptor, TRACK_UUID, process_of(track));
    add_message(&descriptor, TRACK_PROCESS, &process);
    add_varint(&descriptor, TRACK_RANK, t->rank[track]);
    write_packet(t, 0, PACKET_TRACK, &descriptor);
    for (uint32_t s = 0; s < t->work->n_streams; s++)
        if (fs_timeline_uses(t, track, s))
            write_thread(t, track, s);
    return FS_OK;
}

static fs_status open_perfetto(fs_timeline *t, const char *path, fs_err *err)
{
    perfetto *p = t->state = fs_arena_alloc(t->arena, 1, sizeof *p);
    fs_status status = p ? fs_out_open(path, &p->out, err) : fs_fail_nomem(err);
    for (uint32_t track = 0; track < t->n_tracks && status == FS_OK; track++)
        status = write_process(t, track, err);
    return status;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void annotate(message *event, const char *name, uint64_t value)
{
    message annotation = {.size = 0};
    add_string(&annotation, ANNOTATION_NAME, name);
    add_varint(&annotation, ANNOTATION_UINT, value);
    add_message(event, EVENT_ANNOTATION, &annotation);
}

static message begin_event(const fs_timeline *t, const fs_slice *s, uint64_t type)
{
    message event = {.size = 0};
    add_varint(&event, EVENT_TYPE, type);
    add_varint(&event, EVENT_TRACK, thread_of(t, s->track, s->op->stream));
    return event;
}

static message named(const fs_timeline *t, const fs_slice *s, const char *name)
{
    message event = begin_event(t, s, SLICE_BEGIN);
    add_string(&event, EVENT_NAME, name);
    add_string(&event, EVENT_CATEGORY, fs_op_category(s->op));
    return event;
}

static void write_end(fs_timeline *t, const fs_slice *s, uint64_t now_ns)
{
    message event = begin_event(t, s, SLICE_END);
    write_packet(t, now_ns, PACKET_EVENT, &event);
}

static void write_slice(fs_timeline *t, const fs_slice *s)
{
    message event = named(t, s, fs_op_title(s->op, t->work->names));
    annotate(&event, "op", s->op_index);
    if (s->moved)
        annotate(&event, "size_bytes", (uint64_t)s->op->size_bytes);
    if (s->arrow)
        add_fixed64(&event, s->op->kind == FS_OP_SEND ? EVENT_FLOW : EVENT_FLOW_END, s->arrow);
    write_packet(t, s->issue_ns, PACKET_EVENT, &event);
    if (s->moved && s->move_ns > s->issue_ns) {
        event = named(t, s, "wait");
        write_packet(t, s->issue_ns, PACKET_EVENT, &event);
        write_end(t, s, s->move_ns);
        event = named(t, s, "move");
        write_packet(t, s->move_ns, PACKET_EVENT, &event);
        write_end(t, s, s->end_ns);
    }
    write_end(t, s, s->end_ns);
}

static fs_status begin_tier(fs_timeline *t, uint32_t tier, fs_err *err)
{
    static const char prefix[] = "load of tier ";
    message counter = {.size = 0}, descriptor = {.size = 0};
    char name[sizeof prefix + FS_NAME_MAX + 1] = "";
    (void)err;
    strcpy(name, prefix);
    strncat(name, t->topo->tiers[tier].name, FS_NAME_MAX);
    add_string(&counter, COUNTER_UNIT_NAME, "%");
    add_varint(&descriptor, TRACK_UUID, counter_of(t, tier));
    add_string(&descriptor, TRACK_NAME, name);
    add_message(&descriptor, TRACK_COUNTER, &counter);
    write_packet(t, 0, PACKET_TRACK, &descriptor);
    return FS_OK;
}

static void write_counter(fs_timeline *t, const fs_counter *counter)
{
    message event = {.size = 0};
    add_varint(&event, EVENT_TYPE, COUNTER);
    add_varint(&event, EVENT_TRACK, counter_of(t, counter->tier));
    add_double(&event, EVENT_COUNTER, counter->percent);
    write_packet(t, counter->now_ns, PACKET_EVENT, &event);
}

static fs_status close_perfetto(fs_timeline *t, double end_s, fs_err *err)
{
    perfetto *p = t->state;
    (void)end_s;
    fs_status status = fs_out_close(p->out, err);
    p->out = NULL;
    return status;
}

static void discard_perfetto(fs_timeline *t)
{
    fs_out_discard(((perfetto *)t->state)->out);
}

const fs_timeline_format fs_timeline_perfetto = {.open = open_perfetto,
                                                 .slice = write_slice,
                                                 .tier = begin_tier,
                                                 .counter = write_counter,
                                                 .close = close_perfetto,
                                                 .discard = discard_perfetto};
