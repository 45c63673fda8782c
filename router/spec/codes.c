/* codes.c - the table of all problems, with the text that `sluice help CODE` prints. */
#include "spec/codes.h"

#include <assert.h>
#include <stddef.h>
#include <strings.h>
#include <sysexits.h>

static const struct code codes[DIAG_CODES] = {
	[DIAG_SYNTAX] = { "E001", EX_DATAERR, "not YAML",
		"The file can't be read as YAML from this place on. Frequent causes: a tab in the indentation, a key that does not line up "
		"with its neighbours, a missing blank after the colon, a bracket or quote that is never closed (then the place told is where "
		"reading gave up, and the cause stands above it), a value with `: ` or ` #` in it that needs quotes." },
	[DIAG_UTF8] = { "E002", EX_DATAERR, "not UTF-8",
		"Files are UTF-8. This byte does not belong to any UTF-8 character: the file was saved in another encoding (`iconv -t UTF-8` "
		"converts it) or is no text at all." },
	[DIAG_CONTROL] = { "E003", EX_DATAERR, "control character",
		"NUL and other control characters have no business in a configuration. Where one is truly meant, write it as an escape inside "
		"double quotes (\"\\t\"); NUL is never accepted." },
	[DIAG_TOO_BIG] = { "E004", EX_CONFIG, "file too large",
		"A YAML file may have 8 MiB and a million values. Fleets larger than that belong into a CSV file named by `devices-from:`." },
	[DIAG_TOO_DEEP] = { "E005", EX_DATAERR, "nested too deeply",
		"Nothing in the language nests deeper than a dozen levels; reading stops at 64 (32 within brackets and braces), because text made to nest "
		"without end would occupy the machine for minutes." },
	[DIAG_ALIAS_BOMB] = { "E006", EX_CONFIG, "aliases expand too far",
		"An alias (`*name`) stands for a copy of what its anchor (`&name`) marks. Aliases of aliases multiply; all together they may add "
		"100000 values, and this file asks for more." },
	[DIAG_ALIAS_LOOP] = { "E007", EX_CONFIG, "alias inside its own anchor",
		"The alias stands inside the value that its anchor marks, so it would contain itself without end." },
	[DIAG_ALIAS_UNKNOWN] = { "E008", EX_DATAERR, "alias without an anchor",
		"No `&name` stands before this `*name` in the same file. A text that begins with an asterisk, such as a wildcard, needs quotes: \"*\"." },
	[DIAG_TAG] = { "E009", EX_CONFIG, "unknown tag",
		"Tags such as `!include` are not part of the language. A text that begins with an exclamation mark needs quotes. "
		"Other files are named by `include:`, secrets by ${env:NAME} and ${file:PATH}." },
	[DIAG_SECOND_DOCUMENT] = { "E010", EX_CONFIG, "second document",
		"A line `---` or `...` ends a document; a file holds one. Put the rest into a file of its own and name it under `include:`." },
	[DIAG_DUPLICATE_KEY] = { "E011", EX_CONFIG, "key given twice",
		"The same key stands twice in one mapping, or the same name is defined in two files. One of them would be ignored silently, so neither is taken." },
	[DIAG_UNKNOWN_KEY] = { "E012", EX_CONFIG, "unknown key",
		"The language has no such key at this place. Keys are never ignored, since a misspelt one would change what happens without a word. "
		"Look at the keys allowed here, and at the indentation: a key one level too deep or too high belongs to another mapping." },
	[DIAG_MISSING_KEY] = { "E013", EX_CONFIG, "missing key",
		"The key has no default and must be given." },
	[DIAG_WRONG_KIND] = { "E014", EX_CONFIG, "wrong kind of value",
		"A mapping (`key: value` lines or {…}), a list (`- ` lines or […]) or a single value is expected, and another of the three is there." },
	[DIAG_BAD_VALUE] = { "E015", EX_CONFIG, "value can't be read",
		"The value is not written as its kind demands. Durations: 200ms 30s 10m 2h 10d. Sizes: 512 64KiB 2GiB. Rates: 200/s 600/m. "
		"Booleans: true or false, nothing else. Units are part of the value, without a blank." },
	[DIAG_OUT_OF_BOUNDS] = { "E016", EX_CONFIG, "value out of bounds",
		"The value is well written but smaller or larger than what can work." },
	[DIAG_NOT_ALLOWED] = { "E017", EX_CONFIG, "not one of the allowed values",
		"Only the listed words are allowed here. They are written in lower case." },
	[DIAG_PATTERN] = { "E018", EX_CONFIG, "value of the wrong form",
		"The text does not have the form this key demands (an address, a URL, an identifier, …)." },
	[DIAG_LENGTH] = { "E019", EX_CONFIG, "too short or too long",
		"The text has too few or too many characters, or the list or mapping too few or too many entries." },
	[DIAG_REPEATED_ITEM] = { "E020", EX_CONFIG, "item given twice",
		"The list is a set: the same item twice is a slip." },
	[DIAG_PLANNED] = { "E021", EX_CONFIG, "not available in this version",
		"The language knows this key or value, but this version of the program can't do what it asks for. It is refused rather than ignored." },
	[DIAG_BAD_NAME] = { "E022", EX_CONFIG, "bad name",
		"Names of channels, groups, destinations and streams have 1 to 64 characters, begin with a letter or digit and hold no control characters and "
		"none of / * , { } [ ] \" ' \\. Idents have 1 to 128 characters without blanks, control characters, # + and /." },
	[DIAG_BAD_REFERENCE] = { "E023", EX_CONFIG, "bad ${…} reference",
		"A secret is referred to by ${env:NAME} or ${file:PATH}. Nothing else may stand between ${ and }; for a literal ${ write $${." },
	[DIAG_BAD_KEY] = { "E024", EX_CONFIG, "key is not a text",
		"A key is a single word or text; here a list, a mapping or nothing stands in its place." },
	[DIAG_MERGE_KEY] = { "E025", EX_CONFIG, "merge keys are not supported",
		"`<<` is not part of YAML 1.2, and tools disagree on what it does. Anchors and aliases of whole values work: `retry: *patient`." },
	[DIAG_UNREADABLE] = { "E026", EX_CONFIG, "file can't be read",
		"The file does not exist, is no regular file, or the user the program runs as may not read it." },
	[DIAG_UNKNOWN_TYPE] = { "E027", EX_CONFIG, "unknown type",
		"There is no built-in type and no adapter file of this name. sluice.yaml(5) lists the built-in ones; folders of own adapters are named by `settings.adapters`." },
	[DIAG_ALTERNATIVES] = { "E028", EX_CONFIG, "keys that go together, or exclude each other",
		"Of several keys at least one, or exactly one, must be given." },
	[DIAG_BAD_TEMPLATE] = { "E029", EX_CONFIG, "bad {parameter} template",
		"In url, headers and topic a {parameter} is replaced by the message's parameter of that name. A brace is never closed, opened twice or empty here; "
		"for a literal brace write {{ or }}." },
	[DIAG_BAD_SCHEMA] = { "E030", EX_CONFIG, "bad schema",
		"What an adapter declares under `options` or `device` is not in the part of JSON Schema that is understood: type, enum, const, pattern (a POSIX extended "
		"regular expression), minimum, maximum, minLength, maxLength, items, minItems, maxItems, uniqueItems, properties, required, default, description." },
	[DIAG_EXPRESSION] = { "E031", EX_CONFIG, "bad expression",
		"The condition can't be read from this place on. Texts stand in 'single' or \"double\" quotes, parameters without; operators are && || not() == != < <= > >= "
		"~ + - * / % & | ^ << >>, and if(condition, then, else). Brackets are asked for where C's precedence misleads: (din & 0x1) == 1." },
	[DIAG_EXPRESSION_KIND] = { "E032", EX_CONFIG, "expression that can never work",
		"An operator or function is given what it can't take (a text where it computes, a division by zero), whatever the message: the condition "
		"would be false for ever. tonumber(), tostring() and toboolean() turn one kind into another." },
	[DIAG_EXPRESSION_FUNCTION] = { "E033", EX_CONFIG, "no such function, or not used so",
		"The expression language has no function of this name, or it takes other arguments. Functions that need more than the message at hand (previous messages, "
		"geofences, mileage) do not exist: what they do belongs into a transform." },
	[DIAG_ADAPTER] = { "E040", EX_CONFIG, "adapter can't be used",
		"A Lua file in an adapters folder does not load, or the table it returns is not what an adapter is: its keys, their kinds, its transport. "
		"The place is where Lua met the fault. `lua/ADAPTERS.md` says what an adapter may have." },
	[DIAG_VECTOR] = { "E041", EX_DATAERR, "adapter's vector fails",
		"An adapter carries examples of what it makes of a message. Here what it makes is not what it says, so it is not trusted with real ones: put "
		"the function or the example right." },
	[DIAG_CASE] = { "E042", EX_DATAERR, "case fails",
		"A case of `sluice test` says what a specification must make of a message; it makes something else. What was expected and what would be sent stand "
		"below. `sluice explain` shows the way there step by step." },
	[DIAG_UNDECLARED] = { "E050", EX_CONFIG, "name that is not defined",
		"A channel, group, destination or stream is named that no file defines." },
	[DIAG_UNDECLARED_IDENT] = { "E051", EX_CONFIG, "device that is not declared",
		"An exact ident is named that neither `devices:` nor the file of `devices-from:` declares, and no wildcard there matches it. A mistyped ident would "
		"otherwise silently send nothing." },
	[DIAG_GROUP_LOOP] = { "E052", EX_CONFIG, "group inside itself",
		"Groups may hold groups, but none may come to hold itself." },
	[DIAG_TWO_VALUES] = { "E053", EX_CONFIG, "two values of per-device data",
		"For a stream a device's data is what its exact ident is given, else what a wildcard that matches it is given, else what a group is given. Here two "
		"of the same rank differ, and neither is better than the other." },
	[DIAG_SAME_ID] = { "E054", EX_CONFIG, "id of another device",
		"The number of a device (`id`, in messages `device.id`) is its own." },
	[DIAG_SECRET] = { "E055", EX_CONFIG, "secret can't be read",
		"The variable is not set, or the file can't be read by the user the program runs as. `sluice check --no-secrets` leaves this check out, for machines "
		"that are not to know the secrets." },
	[DIAG_CSV] = { "E056", EX_CONFIG, "bad file of devices",
		"A file named by `devices-from:` has comma-separated values: a first row of column names (ident,id,name,groups,<field>…), then a row for each device. "
		"Cells with commas or line breaks stand in double quotes; a quote inside is doubled. Groups are separated by blanks; an empty cell is not given." },
	[DIAG_CONFLICT] = { "E057", EX_CONFIG, "settings that contradict each other",
		"Each would do alone, but not together." },
	[DIAG_EXPOSED] = { "E058", EX_CONFIG, "secret that others can read",
		"A secret is written out in a file that more than its owner may read. Take the rights of others away (chmod 600 FILE), or keep the secret elsewhere and "
		"refer to it: ${env:NAME} or ${file:PATH}. A file that belongs to root may be read by its group, which is how a daemon gets at it; files with references only "
		"may be read by anyone. `sluice check --no-secrets` leaves this check out, for copies such as a version control's." },
	[DIAG_UNUSED] = { "W001", EX_CONFIG, "defined, but not used",
		"Nothing refers to it, so it does nothing: a stream without a subscription, a destination without a stream, a channel that no subscription could draw from." },
	[DIAG_INCLUDE_EMPTY] = { "W002", EX_CONFIG, "include that matches nothing",
		"No file matches the pattern, which starts at the folder of the file that names it." },
	[DIAG_NO_VERSION] = { "W003", EX_CONFIG, "no version of the language",
		"`sluice: 1` says which version of the language a file is in, so that it will be understood for ever. Without it, version 1 is taken." },
	[DIAG_TWICE] = { "W004", EX_CONFIG, "subscribed twice",
		"A stream is subscribed to a channel and to devices (or groups) whose messages arrive there. Each message is sent once, as the device's." },
	[DIAG_SHARED_BLOCK] = { "W005", EX_CONFIG, "a full buffer stops others too",
		"A stream with `full: block` makes its sources wait when its buffer is full, which stops all streams that are fed by the same channel. Where that "
		"is not wanted give it `full: drop-oldest` or `drop-newest`, or a channel of its own." },
	[DIAG_NO_MATCH] = { "W006", EX_CONFIG, "wildcard that matches nothing",
		"No declared device matches the wildcard." },
	[DIAG_NO_EFFECT] = { "W007", EX_CONFIG, "setting without effect",
		"Another setting makes this one do nothing." },
	[DIAG_PARTLY] = { "W008", EX_CONFIG, "wildcards that share idents",
		"An ident is the device of one declared wildcard, the longest that matches it. A wildcard in a group or subscription that matches some of the idents "
		"of a declared one, and neither all of them nor a part the longer of the two names, does not get those it shares. Declare what both match as a device, "
		"such as `\"35*7\":` for `35*` and `*7`." },
	[DIAG_NOWHERE] = { "W009", EX_CONFIG, "device whose messages go nowhere",
		"The device is declared, and no stream subscribes to it, to one of its groups or to a channel. Its messages are taken, counted as unrouted, and gone. "
		"Streams that are not enabled count as if they were." },
	[DIAG_ONE_BY_ONE] = { "W010", EX_CONFIG, "one request at a time to many addresses",
		"Where the url has a {parameter}, a batch holds messages of one address, so it is often a single message. With `ordering: stream`, which is the default, the "
		"next one waits for its answer: at 50 ms an answer that is twenty messages a second for the whole fleet. `ordering: device` with `in-flight: 8` keeps "
		"the order of each device's messages and sends to eight addresses at a time." },
	[DIAG_SAME] = { "W011", EX_CONFIG, "condition that is the same for every message",
		"A condition, or a part of it, is true or false whatever the message holds: a text or number stands where a comparison was to be written "
		"(`a == 1 || 2` is always true; `a == 1 || a == 2` is meant), two parts can't be true together, of two one always is (`a != 1 || a != 2`), or what "
		"is compared is never of that kind. `true` and `false` alone are taken as meant." },
	[DIAG_MISREAD] = { "W012", EX_CONFIG, "condition that says something else than it seems to",
		"A word without quotes is a parameter: TRUE, yes and nil are no values but names, which messages do not have, so that the condition is false for ever. "
		"`fuel-level` is fuel minus level: a parameter with a hyphen in its name is written param('fuel-level'), a difference with blanks around the minus." },
	[DIAG_FIELDS] = { "W013", EX_CONFIG, "fields that undo one another",
		"First `keep` chooses, then `drop` takes away, then `rename` gives names; all three name parameters as they come in. A parameter that is kept and dropped is "
		"dropped. One that is not kept is not renamed. Where two get one name, a message that has both loses one: the one renamed stays, of two renamed "
		"the first in the message." },
	[DIAG_COLUMN] = { "W014", EX_CONFIG, "column that is nearly one with a meaning",
		"In a file of devices the columns ident, id, name and groups have a meaning; every other one is a field that the device's messages get. This column's name "
		"is nearly one of the four, which is not there itself." },
};

const struct code *code_at(enum diag_code code)
{
	assert(code < DIAG_CODES && codes[code].name != NULL);
	return &codes[code];
}

const struct code *code_find(const char *name)
{
	for (unsigned i = 0; i < DIAG_CODES; i++)
		if (codes[i].name != NULL && strcasecmp(codes[i].name, name) == 0)
			return &codes[i];
	return NULL;
}

const char *code_name(enum diag_code code)
{
	return code_at(code)->name;
}

bool code_is_error(enum diag_code code)
{
	return *code_at(code)->name == 'E';
}

int code_exit(enum diag_code code)
{
	return code_at(code)->exit;
}
