/* test_json.c - the JSON tree: values, places of errors, --set, typed members, allocation failures, round trips. */
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static fs_json_doc *parse(const char *text)
{
    fs_err err;
    fs_json_doc *doc = NULL;
    if (fs_json_parse("t.json", text, strlen(text), FS_E_TRACE, &doc, &err) != FS_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return doc;
}

static void assert_error(const fs_err *err, const char *formatted)
{
    char text[FS_ERR_FILE_MAX + FS_ERR_TEXT_MAX + 64];
    fs_err_format(err, text, sizeof text);
    assert_string_equal(text, formatted);
}

static void check_values(void **state)
{
    (void)state;
    fs_json_doc *doc =
        parse("{\"n\": null, \"t\": true, \"f\": false, \"x\": -1.5e3, \"s\": \"a\\n\\u00e9\\ud83d\\ude00\","
              " \"\": [], \"k\\\"\\\\\": {\"a\": [1, [2, 3], {}]}, \"e\": \"\", \"p\": \"plain\"}");
    const fs_json *root = fs_json_root(doc);
    assert_int_equal(fs_json_kind(root), FS_JSON_OBJECT);
    assert_int_equal(fs_json_count(root), 9);
    assert_int_equal(fs_json_kind(fs_json_get(root, "n")), FS_JSON_NULL);
    assert_true(fs_json_bool(fs_json_get(root, "t")));
    assert_false(fs_json_bool(fs_json_get(root, "f")));
    assert_true(fs_json_number(fs_json_get(root, "x")) == -1500.0);
    assert_string_equal(fs_json_string(fs_json_get(root, "s")), "a\n\xc3\xa9\xf0\x9f\x98\x80");
    assert_int_equal(fs_json_count(fs_json_get(root, "")), 0);
    assert_string_equal(fs_json_string(fs_json_get(root, "e")), "");
    assert_string_equal(fs_json_string(fs_json_get(root, "p")), "plain");
    const fs_json *list = fs_json_get(fs_json_get(root, "k\"\\"), "a");
    assert_int_equal(fs_json_count(list), 3);
    assert_null(fs_json_key(fs_json_first(list)));
    const fs_json *inner = fs_json_next(fs_json_first(list));
    assert_true(fs_json_number(fs_json_next(fs_json_first(inner))) == 3.0);
    assert_null(fs_json_next(fs_json_next(fs_json_first(inner))));
    assert_int_equal(fs_json_kind(fs_json_next(inner)), FS_JSON_OBJECT);
    assert_null(fs_json_next(fs_json_next(inner)));
    assert_null(fs_json_first(fs_json_next(inner)));
    assert_string_equal(fs_json_key(fs_json_first(root)), "n");
    fs_json_free(doc);
    assert_int_equal(fs_mem_live(), 0);
}

static void check_absent(void **state)
{
    (void)state;
    assert_int_equal(fs_json_kind(NULL), FS_JSON_NULL);
    assert_null(fs_json_get(NULL, "a"));
    assert_int_equal(fs_json_count(NULL), 0);
    assert_null(fs_json_first(NULL));
    assert_null(fs_json_next(NULL));
    assert_null(fs_json_key(NULL));
    assert_null(fs_json_string(NULL));
    assert_true(fs_json_number(NULL) == 0.0);
    assert_false(fs_json_bool(NULL));
    fs_json_free(NULL);
}

static void check_scalars_at_the_root(void **state)
{
    (void)state;
    static const char *const texts[] = {"42", " true ", "null", "\"x\"", "\n-0.5\n", "\"\""};
    for (size_t i = 0; i < LENGTH(texts); i++) {
        fs_json_doc *doc = parse(texts[i]);
        assert_null(fs_json_next(fs_json_root(doc)));
        fs_json_free(doc);
    }
}

static void check_syntax_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "t.json:1:1: error: the file is empty, expected a JSON value"},
        {" \n ", "t.json:1:1: error: the file is empty, expected a JSON value"},
        {"{", "t.json:1:2: error: the text ends too early"},
        {"[1,\n 2", "t.json:2:3: error: the text ends too early"},
        {"[\"abc", "t.json:1:6: error: the text ends too early"},
        {"[1,]", "t.json:1:4: error: expected a value"},
        {"]", "t.json:1:1: error: expected a value"},
        {"{\"a\": }", "t.json:1:7: error: expected a value"},
        {"[1 2]", "t.json:1:4: error: expected ',' or ']' after an element"},
        {"[1 \"a\\\"b\"]", "t.json:1:4: error: expected ',' or ']' after an element"},
        {"[01]", "t.json:1:3: error: expected ',' or ']' after an element"},
        {"[1}", "t.json:1:3: error: expected ',' or ']' after an element"},
        {"{\"a\":1\n  \"b\":2}", "t.json:2:3: error: expected ',' or '}' after a member"},
        {"{\"a\" 1}", "t.json:1:6: error: expected ':' after a key"},
        {"{1:2}", "t.json:1:2: error: expected a key in double quotes"},
        {"{\"a\":1,}", "t.json:1:8: error: expected a key in double quotes"},
        {"{a:1}", "t.json:1:2: error: unexpected character"},
        {"[NaN]", "t.json:1:2: error: unexpected character"},
        {"[Infinity]", "t.json:1:2: error: unexpected character"},
        {"['a']", "t.json:1:2: error: unexpected character"},
        {"\xef\xbb\xbf[]", "t.json:1:1: error: unexpected character"},
        {"[1] x", "t.json:1:5: error: unexpected text after the end of the document"},
        {"[1]\n[2]", "t.json:2:1: error: unexpected text after the end of the document"},
        {"[1] // c", "t.json:1:5: error: unexpected text after the end of the document"},
        {"[1] \"abc", "t.json:1:5: error: unexpected text after the end of the document"},
        {"1 2", "t.json:1:3: error: unexpected text after the end of the document"},
        {"// c\n1", "t.json:1:1: error: comments are not allowed in JSON"},
        {"[1, /* c */ 2]", "t.json:1:5: error: comments are not allowed in JSON"},
        {"[nul]", "t.json:1:5: error: unknown word, expected true, false or null"},
        {"[trux]", "t.json:1:5: error: unknown word, expected true, false or null"},
        {"[\"a\\q\"]", "t.json:1:4: error: unknown escape in a string"},
        {"[\"a\nb\"]", "t.json:1:4: error: control character in a string, expected an escape such as \\n"},
        {"[\"\xff\"]", "t.json:1:3: error: invalid UTF-8 in a string"},
        {"[\"\\u12g4\"]", "t.json:1:7: error: expected four hexadecimal digits after \\u"},
        {"[\"ab\\ud800\"]", "t.json:1:5: error: half of a surrogate pair in a string"},
        {"[\"\\udc00\"]", "t.json:1:3: error: half of a surrogate pair in a string"},
        {"[\"\\ud800\\u0041\"]", "t.json:1:3: error: half of a surrogate pair in a string"},
        {"{\"a\\u0000\": 1}", "t.json:1:4: error: \\u0000 is not allowed in a string"},
        {"[1.]", "t.json:1:4: error: expected a digit after the decimal point"},
        {"[1e]", "t.json:1:4: error: expected a digit after the exponent"},
        {"[-]", "t.json:1:3: error: expected a digit after the minus sign"},
        {"[1,\n1e999]", "t.json:2:1: error: number 1e999 is out of range"},
        {"-1e400", "t.json:1:1: error: number -1e400 is out of range"},
        {"[1e-999]", "t.json:1:2: error: number 1e-999 is out of range"},
        {"{\"a\": 1, \"b\": {\"a\": 2}, \"a\": 3}", "t.json:1:25: error: duplicate key 'a'"},
        {"{\"a\\n\": 1,\n  \"a\\n\" : 2}", "t.json:2:3: error: duplicate key 'a\n'"},
        {"{\"a\": [1, {\"b\": 1, \"b\": 1}]}", "t.json:1:20: error: duplicate key 'b'"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        fs_err err;
        fs_json_doc *doc = NULL;
        const char *text = cases[i].text;
        assert_int_equal(fs_json_parse("t.json", text, strlen(text), FS_E_TRACE, &doc, &err), FS_E_TRACE);
        assert_error(&err, cases[i].error);
        assert_null(doc);
    }
    assert_int_equal(fs_mem_live(), 0);
}

static void check_nul_in_text(void **state)
{
    (void)state;
    fs_err err;
    fs_json_doc *doc = NULL;
    assert_int_equal(fs_json_parse("t.json", "[1,\0 2]", 7, FS_E_TRACE, &doc, &err), FS_E_TRACE);
    assert_error(&err, "t.json:1:4: error: unexpected character");
    assert_int_equal(fs_json_parse("t.json", "[1]\0", 4, FS_E_TRACE, &doc, &err), FS_E_TRACE);
    assert_error(&err, "t.json:1:4: error: unexpected text after the end of the document");
}

static void check_depth(void **state)
{
    (void)state;
    char text[200];
    fs_err err;
    fs_json_doc *doc = NULL;
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(fs_json_parse("t.json", text + 1, 128, FS_E_TRACE, &doc, &err), FS_OK);
    fs_json_free(doc);
    assert_int_equal(fs_json_parse("t.json", text, 130, FS_E_TRACE, &doc, &err), FS_E_TRACE);
    assert_error(&err, "t.json:1:65: error: nested deeper than 64 levels");
}

static void check_files(void **state)
{
    (void)state;
    fs_err err;
    fs_json_doc *doc = NULL;
    assert_int_equal(fs_json_read("no/such.json", FS_E_TRACE, &doc, &err), FS_E_IO);
    assert_error(&err, "fabsim: error: cannot read 'no/such.json': No such file or directory");
    char path[] = "/tmp/fabsim-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"a\": 1}\n", 9), 9);
    close(fd);
    assert_int_equal(fs_json_read(path, FS_E_TRACE, &doc, &err), FS_OK);
    fs_json_doc *same = parse("{\"a\": 1}\n"), *other = parse("{\"a\": 2}\n");
    assert_true(fs_json_hash(doc) == fs_json_hash(same));
    assert_true(fs_json_hash(doc) != fs_json_hash(other));
    fs_json_free(doc);
    fs_json_free(same);
    fs_json_free(other);
    unlink(path);
}

/* ---- typed members ----------------------------------------------------------------------------------------------- */

static const char *const colours[] = {"red", "green", "blue"};
static const char typed_text[] = "{\n"
                                 "  \"layers\": 12, \"half\": 2.5, \"minus\": -3, \"huge\": 1e19,\n"
                                 "  \"word\": \"ten\", \"yes\": true, \"nothing\": null,\n"
                                 "  \"rate\": \"25GB/s\", \"bare\": \"25\", \"list\": [1], \"colour\": \"gren\",\n"
                                 "  \"tint\": \"mauve\", \"blue\": \"blue\", \"box\": {}\n"
                                 "}\n";

static void check_typed_members(void **state)
{
    (void)state;
    fs_err err;
    fs_json_doc *doc = parse(typed_text);
    const fs_json *root = fs_json_root(doc);
    uint64_t integer = 7;
    assert_int_equal(fs_json_uint_in(doc, root, "layers", true, 1, 12, &integer, &err), FS_OK);
    assert_int_equal(integer, 12);
    assert_int_equal(fs_json_uint_in(doc, root, "absent", false, 1, 12, &integer, &err), FS_OK);
    assert_int_equal(integer, 12);
    double number = 7;
    assert_int_equal(fs_json_number_in(doc, root, "half", true, 0, 3, &number, &err), FS_OK);
    assert_true(number == 2.5);
    bool truth = false;
    assert_int_equal(fs_json_bool_in(doc, root, "yes", true, &truth, &err), FS_OK);
    assert_true(truth);
    const char *text = NULL;
    assert_int_equal(fs_json_string_in(doc, root, "word", true, &text, &err), FS_OK);
    assert_string_equal(text, "ten");
    assert_int_equal(fs_json_quantity_in(doc, root, "rate", true, FS_UNIT_BPS, 0, DBL_MAX, &number, &err), FS_OK);
    assert_true(number == 25e9);
    assert_int_equal(fs_json_quantity_in(doc, root, "layers", true, FS_UNIT_BPS, 0, DBL_MAX, &number, &err), FS_OK);
    assert_true(number == 12);
    uint32_t index = 7;
    assert_int_equal(fs_json_enum_in(doc, root, "blue", true, colours, 3, &index, &err), FS_OK);
    assert_int_equal(index, 2);
    fs_json_free(doc);
}

#define REFUSES(call, message)                                                                                         \
    do {                                                                                                               \
        assert_int_equal(call, FS_E_TRACE);                                                                            \
        assert_error(&err, "t.json:" message);                                                                         \
    } while (0)

static void check_typed_errors(void **state)
{
    (void)state;
    fs_err err;
    fs_json_doc *doc = parse(typed_text);
    const fs_json *r = fs_json_root(doc);
    uint64_t u = 7;
    double x = 7;
    bool b = true;
    const char *s = "7";
    uint32_t e = 7;
    REFUSES(fs_json_uint_in(doc, r, "absent", true, 1, 9, &u, &err), "1:1: error: missing key 'absent'");
    REFUSES(fs_json_uint_in(doc, r, "layers", true, 1, 9, &u, &err),
            "2:13: error: 'layers' is 12, expected an integer from 1 to 9");
    REFUSES(fs_json_uint_in(doc, r, "half", true, 0, UINT64_MAX, &u, &err),
            "2:25: error: 'half' is 2.5, expected an integer from 0 to 9007199254740992");
    REFUSES(fs_json_uint_in(doc, r, "minus", true, 1, 9, &u, &err),
            "2:39: error: 'minus' is -3, expected an integer from 1 to 9");
    REFUSES(fs_json_uint_in(doc, r, "huge", true, 1, UINT64_MAX, &u, &err),
            "2:51: error: 'huge' is 1e+19, expected an integer from 1 to 9007199254740992");
    REFUSES(fs_json_uint_in(doc, r, "word", true, 1, 9, &u, &err),
            "3:11: error: 'word' is 'ten', expected an integer from 1 to 9");
    REFUSES(fs_json_number_in(doc, r, "minus", true, 0, DBL_MAX, &x, &err),
            "2:39: error: 'minus' is -3, expected a number of at least 0");
    REFUSES(fs_json_number_in(doc, r, "half", true, -DBL_MAX, 1, &x, &err),
            "2:25: error: 'half' is 2.5, expected a number of at most 1");
    REFUSES(fs_json_number_in(doc, r, "yes", true, -(double)INFINITY, (double)INFINITY, &x, &err),
            "3:25: error: 'yes' is true, expected a number");
    REFUSES(fs_json_bool_in(doc, r, "nothing", false, &b, &err),
            "3:42: error: 'nothing' is null, expected true or false");
    REFUSES(fs_json_string_in(doc, r, "list", true, &s, &err), "4:43: error: 'list' is an array, expected a string");
    REFUSES(fs_json_string_in(doc, r, "box", true, &s, &err), "5:43: error: 'box' is an object, expected a string");
    REFUSES(fs_json_quantity_in(doc, r, "bare", true, FS_UNIT_BPS, 0, 1e12, &x, &err),
            "4:29: error: 'bare': expected a rate such as 25GB/s, found '25'");
    REFUSES(fs_json_quantity_in(doc, r, "rate", true, FS_UNIT_BPS, 1, 1e9, &x, &err),
            "4:11: error: 'rate' is '25GB/s', expected a value from 1 to 1000000000 B/s");
    REFUSES(fs_json_quantity_in(doc, r, "yes", true, FS_UNIT_SECONDS, 0, DBL_MAX, &x, &err),
            "3:25: error: 'yes' is true, expected a value of at least 0 seconds");
    REFUSES(fs_json_enum_in(doc, r, "colour", true, colours, 3, &e, &err),
            "4:58: error: unknown colour 'gren' (did you mean 'green'?)");
    REFUSES(fs_json_enum_in(doc, r, "tint", true, colours, 3, &e, &err),
            "5:11: error: 'tint' is 'mauve', expected one of 'red', 'green', 'blue'");
    REFUSES(fs_json_enum_in(doc, r, "yes", true, colours, 3, &e, &err),
            "3:25: error: 'yes' is true, expected one of 'red', 'green', 'blue'");
    assert_true(u == 7 && x == 7 && b && s[0] == '7' && e == 7); /* nothing was written */
    fs_json_free(doc);
}

static void check_unknown_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"layers", "hidden", "heads"};
    fs_err err;
    fs_json_doc *doc = parse("{\"layers\": 1,\n \"hiden\"  :\n 2}");
    REFUSES(fs_json_only(doc, fs_json_root(doc), keys, LENGTH(keys), &err),
            "2:2: error: unknown key 'hiden' (did you mean 'hidden'?)");
    fs_json_free(doc);
    doc = parse("{\"layers\": 1, \"quote\\\"\\\\\": [\"x\"]}");
    REFUSES(fs_json_only(doc, fs_json_root(doc), keys, LENGTH(keys), &err), "1:15: error: unknown key 'quote\"\\'");
    fs_json_free(doc);
    doc = parse("{\"heads\": 1}");
    assert_int_equal(fs_json_only(doc, fs_json_root(doc), keys, LENGTH(keys), &err), FS_OK);
    assert_int_equal(fs_json_only(doc, NULL, keys, LENGTH(keys), &err), FS_OK);
    fs_json_free(doc);
}

/* ---- --set ------------------------------------------------------------------------------------------------------- */

static void set(fs_json_doc *doc, const char *path, const char *text)
{
    fs_err err;
    if (fs_json_set(doc, path, text, &err) != FS_OK)
        fail_msg("%s", err.text);
}

static void check_set(void **state)
{
    (void)state;
    fs_json_doc *doc = parse("{\"model\": {\"layers\": 2, \"name\": \"x\"},"
                             " \"ops\": [{\"n\": 1}, {\"n\": 2}], \"empty\": {}}");
    set(doc, "model.layers", "96");
    set(doc, "model.name", "gpt"); /* a bare word is a string */
    set(doc, "model.fp8", "true");
    set(doc, "ops.1.n", "-1.5e3");
    set(doc, "ops.0.size", "64MiB");
    set(doc, "empty.first", "null");
    set(doc, "empty.second", "\"12\"");
    set(doc, "top", "[1]");
    set(doc, "ops.0.kv.cache.on", "true"); /* objects on the way are made */
    set(doc, "ops.0.kv.blocks", "7");
    const fs_json *root = fs_json_root(doc), *model = fs_json_get(root, "model"), *ops = fs_json_get(root, "ops");
    assert_true(fs_json_number(fs_json_get(model, "layers")) == 96);
    assert_string_equal(fs_json_string(fs_json_get(model, "name")), "gpt");
    assert_true(fs_json_bool(fs_json_get(model, "fp8")));
    assert_int_equal(fs_json_count(model), 3);
    assert_int_equal(fs_json_count(ops), 2);
    assert_true(fs_json_number(fs_json_get(fs_json_first(ops), "n")) == 1);
    assert_string_equal(fs_json_string(fs_json_get(fs_json_first(ops), "size")), "64MiB");
    const fs_json *second = fs_json_next(fs_json_first(ops));
    assert_true(fs_json_number(fs_json_get(second, "n")) == -1500);
    assert_null(fs_json_next(second));
    assert_int_equal(fs_json_count(fs_json_get(root, "empty")), 2);
    assert_string_equal(fs_json_string(fs_json_get(fs_json_get(root, "empty"), "second")), "12");
    assert_string_equal(fs_json_string(fs_json_get(root, "top")), "[1]");
    assert_int_equal(fs_json_count(root), 4);
    const fs_json *kv = fs_json_get(fs_json_first(ops), "kv");
    assert_int_equal(fs_json_count(fs_json_first(ops)), 3);
    assert_int_equal(fs_json_count(kv), 2);
    assert_true(fs_json_bool(fs_json_get(fs_json_get(kv, "cache"), "on")));
    assert_true(fs_json_number(fs_json_get(kv, "blocks")) == 7);
    fs_json_free(doc);
    assert_int_equal(fs_mem_live(), 0);
}

static void check_set_errors(void **state)
{
    (void)state;
    static const struct {
        const char *path, *error;
    } cases[] = {
        {"", "--set : empty name in the path"},
        {"model.", "--set model.: empty name in the path"},
        {"model..x", "--set model..x: empty name in the path"},
        {"model.a.b", "--set model.a.b: 'model.a' is neither an object nor an array"},
        {"model", "--set model: this is an object, only single values can be set"},
        {"ops", "--set ops: this is an array, only single values can be set"},
        {"ops.2", "--set ops.2: the array has 2 elements"},
        {"ops.x", "--set ops.x: the array has 2 elements"},
        {"ops.99999999999", "--set ops.99999999999: the array has 2 elements"},
        {"ops.2.x", "--set ops.2.x: there is no 'ops.2'"},
    };
    fs_err err;
    fs_json_doc *doc = parse("{\"model\": {\"a\": 2}, \"ops\": [1, 2]}");
    for (size_t i = 0; i < LENGTH(cases); i++) {
        assert_int_equal(fs_json_set(doc, cases[i].path, "1", &err), FS_E_USAGE);
        assert_string_equal(err.text, cases[i].error);
    }
    /* What is wrong with a value that was set is said about the option, not about the file. */
    static const char *const keys[] = {"a", "hidden"};
    set(doc, "model.a", "x");
    set(doc, "model.hiden", "5");
    set(doc, "modle.x.y", "5");
    double number = 7;
    const fs_json *model = fs_json_get(fs_json_root(doc), "model");
    assert_int_equal(fs_json_number_in(doc, model, "a", true, 0, 1, &number, &err), FS_E_TRACE);
    assert_error(&err, "--set model.a=x: error: 'a' is 'x', expected a number from 0 to 1");
    assert_int_equal(fs_json_only(doc, model, keys, 2, &err), FS_E_TRACE);
    assert_error(&err, "--set model.hiden=5: error: unknown key 'hiden' (did you mean 'hidden'?)");
    static const char *const top[] = {"model", "ops"};
    assert_int_equal(fs_json_only(doc, fs_json_root(doc), top, 2, &err), FS_E_TRACE);
    assert_error(&err, "--set modle.x.y=5: error: unknown key 'modle' (did you mean 'model'?)");
    for (int i = 3 + (int)LENGTH(cases); i < 1000; i++)
        set(doc, "model.a", "1");
    assert_int_equal(fs_json_set(doc, "model.a", "1", &err), FS_E_USAGE);
    assert_string_equal(err.text, "--set model.a: more than 1000 values are set");
    fs_json_free(doc);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Escapes longer than yajl's first buffer, and more keys than the first table, so that everything grows. */
static char *demanding_text(void)
{
    char *text = malloc(40000), *at = text;
    assert_non_null(text);
    at += sprintf(at, "{\"long\": \"");
    for (int i = 0; i < 1000; i++)
        at += sprintf(at, "\\u00e9\\n");
    at += sprintf(at, "\"");
    for (int i = 0; i < 100; i++)
        at += sprintf(at, ", \"key%d\": [%d, \"s\", {}]", i, i);
    sprintf(at, "}");
    return text;
}

static fs_status parse_and_set(const char *text, fs_err *err)
{
    fs_json_doc *doc = NULL;
    fs_status status = fs_json_parse("t.json", text, strlen(text), FS_E_TRACE, &doc, err);
    if (status != FS_OK) {
        assert_null(doc);
        return status;
    }
    uint32_t before = fs_json_count(fs_json_root(doc));
    status = fs_json_set(doc, "new", "\"text\"", err);
    assert_int_equal(fs_json_count(fs_json_root(doc)), before + (status == FS_OK));
    fs_json_free(doc);
    return status;
}

static void fail_every_allocation(const char *text, fs_status expected)
{
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status == FS_E_NOMEM; n++) {
        fs_err err;
        fs_mem_fail_after(n);
        status = parse_and_set(text, &err);
        fs_mem_fail_after(0);
        assert_int_equal(fs_mem_live(), 0);
        if (status == FS_E_NOMEM)
            assert_string_equal(err.text, "out of memory");
        assert_true(n < 1000);
    }
    assert_int_equal(status, expected);
}

static void check_allocation_failures(void **state)
{
    (void)state;
    char *text = demanding_text();
    fail_every_allocation(text, FS_OK);
    free(text);
    fail_every_allocation("{\"a\": 1, \"b\": [1 2]}", FS_E_TRACE);
    fail_every_allocation("[\"unfinished", FS_E_TRACE);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void write_all(fs_out *out)
{
    fs_jsonw w = fs_jsonw_start(out);
    fs_jsonw_object(&w, NULL);
    fs_jsonw_string(&w, "text", "a\"b\\c\n\t\x01/\xc3\xa9\xff\xed\xa0\x80\xe2\x82");
    fs_jsonw_number(&w, "tenth", 0.1);
    fs_jsonw_number(&w, "infinite", (double)INFINITY);
    fs_jsonw_uint(&w, "big", UINT64_MAX);
    fs_jsonw_bool(&w, "yes", true);
    fs_jsonw_null(&w, "none");
    fs_jsonw_array(&w, "rows");
    fs_jsonw_object_inline(&w, NULL);
    fs_jsonw_number(&w, "a", 1);
    fs_jsonw_array(&w, "b");
    fs_jsonw_number(&w, NULL, 1.5);
    fs_jsonw_number(&w, NULL, -2);
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
    fs_jsonw_array_inline(&w, NULL);
    fs_jsonw_end(&w);
    fs_jsonw_object(&w, NULL);
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
    fs_jsonw_end(&w);
}

static void check_writer(void **state)
{
    (void)state;
    static const char expected[] = "{\n"
                                   "  \"text\": \"a\\\"b\\\\c\\n\\t\\u0001/\xc3\xa9"
                                   "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\",\n"
                                   "  \"tenth\": 0.1,\n"
                                   "  \"infinite\": null,\n"
                                   "  \"big\": 18446744073709551615,\n"
                                   "  \"yes\": true,\n"
                                   "  \"none\": null,\n"
                                   "  \"rows\": [\n"
                                   "    { \"a\": 1, \"b\": [1.5, -2] },\n"
                                   "    [],\n"
                                   "    {}\n"
                                   "  ]\n"
                                   "}\n";
    char path[] = "/tmp/fabsim-json-XXXXXX";
    fs_err err;
    fs_out *out = NULL;
    char *text = NULL;
    size_t length;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fs_out_open(path, &out, &err), FS_OK);
    write_all(out);
    assert_int_equal(fs_out_close(out, &err), FS_OK);
    assert_int_equal(fs_file_read(path, &text, &length, &err), FS_OK);
    assert_string_equal(text, expected);
    fs_json_doc *doc = parse(text);
    assert_true(fs_json_number(fs_json_get(fs_json_root(doc), "tenth")) == 0.1);
    fs_json_free(doc);
    fs_free(text);
    unlink(path);
}

static int enter_comma_locale(void **state)
{
    (void)state;
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL)
        print_message("no comma-decimal locale is installed: the C locale is tested twice\n");
    return 0;
}

static int leave_comma_locale(void **state)
{
    (void)state;
    return setlocale(LC_ALL, "C") == NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_values),
        cmocka_unit_test(check_absent),
        cmocka_unit_test(check_scalars_at_the_root),
        cmocka_unit_test(check_syntax_errors),
        cmocka_unit_test(check_nul_in_text),
        cmocka_unit_test(check_depth),
        cmocka_unit_test(check_files),
        cmocka_unit_test(check_typed_members),
        cmocka_unit_test(check_typed_errors),
        cmocka_unit_test(check_unknown_keys),
        cmocka_unit_test(check_set),
        cmocka_unit_test(check_set_errors),
        cmocka_unit_test(check_allocation_failures),
        cmocka_unit_test(check_writer),
        cmocka_unit_test_setup_teardown(check_typed_errors, enter_comma_locale, leave_comma_locale),
        cmocka_unit_test_setup_teardown(check_writer, enter_comma_locale, leave_comma_locale),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
