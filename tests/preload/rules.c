/* What is done at which call.
 *
 *   action: kill | tear (write half, then kill) | lie (claim success, do nothing) | fail:ERRNO | delay:MILLISECONDS
 *   when:   before | after
 *   call:   open | write | sync | syncdir | range | rename | unlink | truncate | allocate | send
 *   glob:   of the name below FAULT_DIR (of a rename: its new name); of the first bytes, of a send
 *   nth:    3 (the third only), 3+ (from the third on), counted while the panel is armed
 *   head:   only writes at offset 0; body: only others
 */
#define _GNU_SOURCE
#include "layer.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum action { KILL, TEAR, LIE, FAIL, DELAY };
enum place { ANYWHERE, HEAD, BODY };

struct rule {
    enum action action;
    enum call call;
    enum place place;
    int is_after, is_open_ended;
    long argument;
    unsigned long nth;
    char glob[128];
};

static struct rule rules[MAX_RULES];
static int rule_count;
static int has_call[CALLS];

static const char *const CALL_NAMES[] = {"open", "write", "sync", "syncdir", "range", "rename", "unlink", "truncate",
                                         "allocate", "send"};

static void refuse(const char *rule) {
    fprintf(stderr, "fault layer: cannot read the rule \"%s\"\n", rule);
    _exit(97);
}

static void read_rule(char *text) {
    char action[64], when[16], call[16], nth[32], place[16] = "", copy[256];
    struct rule *rule = &rules[rule_count];
    snprintf(copy, sizeof copy, "%s", text);
    if (rule_count == MAX_RULES || sscanf(text, " %63s %15s %15s %127s %31s %15s", action, when, call, rule->glob, nth, place) < 5)
        refuse(copy);
    char *argument = strchr(action, ':');
    if (argument) { *argument++ = 0; rule->argument = atol(argument); }
    if (!strcmp(action, "kill")) rule->action = KILL;
    else if (!strcmp(action, "tear")) rule->action = TEAR;
    else if (!strcmp(action, "lie")) rule->action = LIE;
    else if (!strcmp(action, "fail")) rule->action = FAIL;
    else if (!strcmp(action, "delay")) rule->action = DELAY;
    else refuse(copy);
    rule->is_after = !strcmp(when, "after");
    rule->nth = strtoul(nth, NULL, 10);
    rule->is_open_ended = strchr(nth, '+') != NULL;
    rule->place = !strcmp(place, "head") ? HEAD : !strcmp(place, "body") ? BODY : ANYWHERE;
    rule->call = CALLS;
    for (int n = 0; n < (int)(sizeof CALL_NAMES / sizeof *CALL_NAMES); n++)
        if (!strcmp(call, CALL_NAMES[n])) rule->call = n;
    if (rule->call == CALLS || rule->nth == 0 || (!rule->is_after && strcmp(when, "before"))) refuse(copy);
    has_call[rule->call] = 1;
    rule_count++;
}

void rules_read(const char *text) {
    char *copy = strdup(text), *rest = copy, *rule;
    while ((rule = strsep(&rest, ";")))
        if (rule[strspn(rule, " ")]) read_rule(rule);
    free(copy);
}

int rules_have(enum call call) { return has_call[call]; }

static int apply(enum call call, const char *name, off_t offset, int is_after) {
    int verdict = VERDICT_GO;
    if (!has_call[call] || !panel[PANEL_ARMED]) return verdict;
    for (int n = 0; n < rule_count; n++) {
        struct rule *rule = &rules[n];
        if (rule->call != call || rule->is_after != is_after || fnmatch(rule->glob, name, 0)) continue;
        if ((rule->place == HEAD && offset != 0) || (rule->place == BODY && offset == 0)) continue;
        uint64_t nth = __atomic_add_fetch(&panel[PANEL_MATCHED + n], 1, __ATOMIC_SEQ_CST);
        if (rule->is_open_ended ? nth < rule->nth : nth != rule->nth) continue;
        __atomic_add_fetch(&panel[PANEL_FIRED + n], 1, __ATOMIC_SEQ_CST);
        switch (rule->action) {
        case KILL: layer_die();
        case TEAR: verdict = VERDICT_TEAR; break;
        case LIE: verdict = VERDICT_LIE; break;
        case FAIL: verdict = (int)rule->argument; break;
        case DELAY: {
            struct timespec pause = {rule->argument / 1000, rule->argument % 1000 * 1000000L};
            syscall(SYS_nanosleep, &pause, NULL);
        }
        }
    }
    return verdict;
}

int rules_before(enum call call, const char *name, off_t offset) { return apply(call, name, offset, 0); }
void rules_after(enum call call, const char *name, off_t offset) { apply(call, name, offset, 1); }
