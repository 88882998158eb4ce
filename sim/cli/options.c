/* options.c - see options.h. */
#include "cli/options.h"

#include "base/num.h"

#include <string.h>

enum { NAMES_MAX = 64 };

static fs_status unknown_option(const fs_command *command, const char *text, fs_err *err)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    names[count++] = "help";
    for (size_t i = 0; i < command->n_options && count < NAMES_MAX; i++)
        names[count++] = command->options[i].name;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text + 2, "="), text + 2);
    const char *near = text[1] == '-' ? fs_suggest(name, names, count) : NULL;
    return near ? fs_fail(err, FS_E_USAGE, "unknown option '%s' (did you mean '--%s'?)", text, near)
                : fs_fail(err, FS_E_USAGE, "unknown option '%s' (see --help)", text);
}

static fs_status set_choice(const fs_option *option, const char *value, fs_err *err)
{
    char all[256] = "";
    for (uint32_t i = 0; i < option->n_choices; i++) {
        if (strcmp(value, option->choices[i]) == 0) {
            *(uint32_t *)option->target = i;
            return FS_OK;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", option->choices[i]);
    }
    const char *near = fs_suggest(value, option->choices, option->n_choices);
    return near ? fs_fail(err, FS_E_USAGE, "--%s: unknown value '%s' (did you mean '%s'?)", option->name, value, near)
                : fs_fail(err, FS_E_USAGE, "--%s: unknown value '%s', expected one of %s", option->name, value, all);
}

/* A positive number with its unit. */
static fs_status set_quantity(const fs_option *option, const char *value, fs_unit unit, fs_err *err)
{
    const char *why = "";
    double number = 0;
    if (fs_parse_quantity(value, unit, &number, &why) != 0)
        return fs_fail(err, FS_E_USAGE, "--%s: %s", option->name, why);
    if (!(number > 0))
        return fs_fail(err, FS_E_USAGE, "--%s: expected more than nothing, found '%s'", option->name, value);
    *(double *)option->target = number;
    return FS_OK;
}

static fs_status set_value(const fs_option *option, const char *value, fs_err *err)
{
    const char *why = "";
    switch (option->type) {
    case FS_OPTION_FLAG: *(bool *)option->target = true; return FS_OK;
    case FS_OPTION_TEXT: *(const char **)option->target = value; return FS_OK;
    case FS_OPTION_CHOICE: return set_choice(option, value, err);
    case FS_OPTION_SIZE:
        if (fs_parse_size(value, option->target, &why) != 0)
            return fs_fail(err, FS_E_USAGE, "--%s: %s", option->name, why);
        return FS_OK;
    case FS_OPTION_UINT:
        if (fs_parse_uint(value, option->target) != 0)
            return fs_fail(err, FS_E_USAGE, "--%s: expected a whole number, found '%s'", option->name, value);
        return FS_OK;
    case FS_OPTION_NUMBER: return set_quantity(option, value, FS_UNIT_NONE, err);
    case FS_OPTION_TIME: return set_quantity(option, value, FS_UNIT_SECONDS, err);
    case FS_OPTION_POWER: return set_quantity(option, value, FS_UNIT_WATTS, err);
    case FS_OPTION_LIST: {
        fs_option_list *list = option->target;
        if (list->count == FS_OPTION_LIST_MAX)
            return fs_fail(err, FS_E_USAGE, "--%s given more than %d times", option->name, FS_OPTION_LIST_MAX);
        list->values[list->count++] = value;
        return FS_OK;
    }
    }
    return FS_OK;
}

static const fs_option *find_option(const fs_command *command, const char *text)
{
    for (size_t i = 0; i < command->n_options; i++) {
        const fs_option *option = &command->options[i];
        size_t length = strlen(option->name);
        bool is_long = text[1] == '-' && strncmp(text + 2, option->name, length) == 0 &&
                       (text[2 + length] == '\0' || text[2 + length] == '=');
        bool is_short = text[1] != '-' && option->letter != 0 && text[1] == option->letter && text[2] == '\0';
        if (is_long || is_short)
            return option;
    }
    return NULL;
}

static fs_status parse_option(const fs_command *command, int argc, char *const *argv, int *i, fs_err *err)
{
    const char *text = argv[*i];
    const fs_option *option = find_option(command, text);
    if (option == NULL)
        return unknown_option(command, text, err);
    const char *equals = text[1] == '-' ? strchr(text, '=') : NULL;
    if (option->type == FS_OPTION_FLAG) {
        if (equals)
            return fs_fail(err, FS_E_USAGE, "--%s takes no value", option->name);
        return set_value(option, NULL, err);
    }
    if (equals)
        return set_value(option, equals + 1, err);
    if (*i + 1 >= argc)
        return fs_fail(err, FS_E_USAGE, "--%s needs a value: %s", option->name, option->value);
    return set_value(option, argv[++*i], err);
}

fs_status fs_options_parse(const fs_command *command, int argc, char *const *argv, const char *values[FS_ARGUMENTS_MAX],
                           uint32_t *n_values, bool *help, fs_err *err)
{
    bool options_over = false;
    *n_values = 0;
    *help = false;
    for (int i = 0; i < argc && !options_over; i++) {
        options_over = strcmp(argv[i], "--") == 0;
        if (!options_over && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            *help = true;
            return FS_OK;
        }
    }
    options_over = false;
    for (int i = 0; i < argc; i++) {
        bool is_option = argv[i][0] == '-' && argv[i][1] != '\0' && !options_over;
        if (is_option && strcmp(argv[i], "--") == 0) {
            options_over = true;
        } else if (is_option) {
            fs_status status = parse_option(command, argc, argv, &i, err);
            if (status != FS_OK)
                return status;
        } else if (*n_values == command->max_arguments) {
            return fs_fail(err, FS_E_USAGE, "unexpected argument '%s'; usage: %s", argv[i], command->usage);
        } else {
            values[(*n_values)++] = argv[i];
        }
    }
    if (*n_values < command->min_arguments)
        return fs_fail(err, FS_E_USAGE, "missing %s; usage: %s", command->arguments[*n_values], command->usage);
    return FS_OK;
}

void fs_options_help(const fs_command *command, fs_out *out)
{
    fs_out_printf(out, "usage: %s\n\n%s\n\noptions:\n", command->usage, command->description);
    for (size_t i = 0; i < command->n_options; i++) {
        const fs_option *option = &command->options[i];
        char left[64], short_form[8] = "    ";
        if (option->letter)
            snprintf(short_form, sizeof short_form, "-%c, ", option->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", short_form, option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fs_out_printf(out, "  %-28s %s\n", left, option->help);
    }
    fs_out_printf(out, "  %-28s %s\n", "-h, --help", "Print this help.");
}
