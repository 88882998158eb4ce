/* mem_xml.c - libxml2's memory: counted, made to fail, and freed session by session.
 *
 * Every block of libxml2 carries a header that links it into a ring. A session starts an empty ring, and its end frees what is
 * still in it: whole documents that nobody needs to take apart, and what libxml2 loses when memory runs out. Blocks from
 * outside any session (libxml2's tables for the life of the process) stay in a ring of their own.
 *
 * libxml2 2.9.14 follows null pointers in places when memory runs out, its schema code above all. So a failed allocation
 * inside a guarded call does not return to libxml2: it jumps to the guard. libxml2 holds no lock while it allocates. */
#include "base/mem.h"

#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <libxml/xmlmemory.h>
#include <libxml/xmlschemastypes.h>
#include <setjmp.h>
#include <string.h>

typedef struct header {
    struct header *previous, *next;
} header;

static header session = {&session, &session}, process = {&process, &process};
static header *ring = &process;
static jmp_buf *guard; /* where a failed allocation goes; NULL = back to libxml2 as a null pointer */

static void *fail(void)
{
    if (guard != NULL)
        longjmp(*guard, 1);
    return NULL;
}

static void *link_block(header *block)
{
    block->next = ring->next;
    block->previous = ring;
    ring->next->previous = block;
    ring->next = block;
    return block + 1;
}

static header *unlink_block(void *data)
{
    header *block = (header *)data - 1;
    block->previous->next = block->next;
    block->next->previous = block->previous;
    return block;
}

static void *xml_alloc(size_t bytes)
{
    header *block = bytes > PTRDIFF_MAX ? NULL : fs_alloc(1, sizeof *block + bytes);
    return block ? link_block(block) : fail();
}

static void *xml_realloc(void *data, size_t bytes)
{
    if (data == NULL)
        return xml_alloc(bytes);
    header *block = unlink_block(data);
    header *moved = bytes > PTRDIFF_MAX ? NULL : fs_realloc(block, 1, sizeof *block + bytes);
    link_block(moved ? moved : block); /* the old block is still valid where there is no new one */
    return moved ? moved + 1 : fail();
}

static void xml_free(void *data)
{
    if (data != NULL)
        fs_free(unlink_block(data));
}

static char *xml_strdup(const char *text)
{
    size_t length = strlen(text) + 1;
    char *copy = xml_alloc(length);
    return copy ? memcpy(copy, text, length) : NULL;
}

/* libxml2 reports a failed allocation on stderr past every handler that a parser has: fs_err says it already. */
__attribute__((format(printf, 2, 3))) static void say_nothing(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

bool fs_mem_xml_call(void (*body)(void *context), void *context)
{
    jmp_buf here;
    bool survived = false;
    guard = &here;
    if (setjmp(here) == 0) {
        body(context);
        survived = true;
    }
    guard = NULL;
    return survived;
}

/* What libxml2 makes once and keeps. */
static void make_tables(void *unused)
{
    (void)unused;
    xmlInitParser();
    xmlSchemaInitTypes();
}

bool fs_mem_xml_begin(void)
{
    static enum { NOT_YET, READY, BROKEN } tables;
    if (tables == NOT_YET)
        xmlMemSetup(xml_free, xml_alloc, xml_realloc, xml_strdup);
    xmlSetGenericErrorFunc(NULL, say_nothing);
    /* Tables that were left half made are not touched again. */
    if (tables == NOT_YET)
        tables = fs_mem_xml_call(make_tables, NULL) ? READY : BROKEN;
    if (tables == BROKEN)
        return false;
    ring = &session;
    return true;
}

void fs_mem_xml_end(void)
{
    xmlResetLastError(); /* the last error's text is a block of the session too */
    while (session.next != &session)
        xml_free(session.next + 1);
    ring = &process;
}
