/* Our own find, match, gmatch, gsub and rep answer as Lua's do: on chosen cases, and on many made up ones. */
#include "unit.h"

#include "transforms/vm.h"

static const char script[] =
	"local o, s, p, r, i = ...\n" /* o: the library to ask */
	"local function all(...) local t = table.pack(...) for k = 1, t.n do t[k] = math.type(t[k]) == 'integer' and 'i' .. t[k] or tostring(t[k]) end\n"
	"  return table.concat(t, '|') end\n"
	"local out = {}\n"
	"local function try(f, ...) local t = table.pack(pcall(f, ...)) out[#out + 1] = t[1] and all(table.unpack(t, 2, t.n)) or 'error' end\n"
	"try(o.find, s, p, i) try(o.match, s, p, i) try(o.find, s, p, i, true) try(o.gsub, s, p, r) try(o.gsub, s, p, r, 2)\n"
	"try(o.gsub, s, p, function(a, b) return b and a .. b end) try(o.gsub, s, p, {a = 'X', b = false, [1] = 'one'})\n"
	"try(function() local t = {} for a, b in o.gmatch(s, p) do t[#t + 1] = all(a, b) end return table.concat(t, ';') end)\n"
	"return table.concat(out, '\\n')\n";

struct pair { lua_State *stock; struct vm *vm; };

static int ask_own(lua_State *L)
{
	const char **args = lua_touserdata(L, 1);
	static char answer[1 << 16];

	lua_settop(L, 0);
	assert_int_equal(luaL_loadstring(L, script), LUA_OK);
	sandbox_env(L);
	lua_getfield(L, -1, "string");
	lua_insert(L, -2);
	lua_setupvalue(L, 1, 1);
	lua_pushstring(L, args[0]);
	lua_pushstring(L, args[1]);
	lua_pushstring(L, args[2]);
	lua_pushinteger(L, atoi(args[3]));
	lua_call(L, 5, 1);
	snprintf(answer, sizeof(answer), "%s", lua_tostring(L, -1));
	args[4] = answer;
	return 0;
}

static void same(struct pair *both, const char *s, const char *p, const char *r, const char *init)
{
	const char *args[] = { s, p, r, init, NULL };
	struct buf why = BUF_INIT;
	lua_State *L = both->stock;

	if (vm_run(both->vm, ask_own, args, 1000, &why) < 0)
		fail_msg("'%s' '%s': %s", s, p, why.p);
	assert_int_equal(luaL_loadstring(L, script), LUA_OK);
	lua_getglobal(L, "string");
	lua_pushstring(L, s);
	lua_pushstring(L, p);
	lua_pushstring(L, r);
	lua_pushinteger(L, atoi(init));
	assert_int_equal(lua_pcall(L, 5, 1, 0), LUA_OK);
	if (strcmp(lua_tostring(L, -1), args[4]) != 0)
		fail_msg("text '%s' pattern '%s' replacement '%s' init %s\nLua:\n%s\nown:\n%s", s, p, r, init, lua_tostring(L, -1), args[4]);
	lua_settop(L, 0);
	buf_fini(&why);
}

static int setup(void **state)
{
	static struct pair both;
	struct vm_limits limits = vm_limits_of(1 << 20, 20000);
	both.stock = luaL_newstate();
	luaL_openlibs(both.stock);
	both.vm = vm_new(&limits);
	*state = &both;
	return both.vm ? 0 : -1;
}

static int teardown(void **state)
{
	struct pair *both = *state;
	lua_close(both->stock);
	vm_free(both->vm);
	return 0;
}

static void test_chosen(void **state)
{
	static const char *const patterns[] = { "", "a", "^a", "a$", "^$", "$", ".", ".*", ".-", ".-b", "a*", "a+", "a-", "a?b", "[abc]+", "[^abc]+", "[a-c]", "[]]", "[^]]",
		"[%]]", "[a-]", "[-a]", "[%a_]+", "%a+", "%A+", "%d+", "%s", "%w*", "%p", "%x+", "%c", "%u", "%l", "%g", "(a)(b)", "(a*(.)%w(%s*))", "()a()", "(()", "(", ")",
		"%", "[", "[a", "[%", "[^", "%b()", "%bxx", "%b", "%bx", "%f[%w]", "%f[%W]", "%f", "%fx", "(a)%1", "%1", "(a%1)", "%2", "(.)(.)%2%1", "()%1", "a.b", "\\", "x^y", "a$b", "%%", "%.",
		"(.-)%s*$", "^%s*(.-)%s*$", "([%w_]+)=([%w_]+)", "(a)(b)(c)(d)", "((a)b)", "[%d.]+", "%z", "[a-%z]", "[a-%%]", "[z-a]", "-", "*", "+", "?", "a**", "a--", "^*", "^^a", "%^a" };
	static const char *const texts[] = { "", "a", "abc", "aabbcc", "hello world", "key=value, k2=v2", "((a)(b))", "a.b.c", "  trim  ", "x1y2z3", "]^-]", "THE (quick) fox", "aXbXc", "%1",
		"abab", "$^", "a\nb\tc" };
	static const char *const replacements[] = { "", "x", "%0", "%1", "%2", "%%", "%", "<%0%1>", "%a" };
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++)
		for (size_t k = 0; k < sizeof(texts) / sizeof(*texts); k++)
			same(*state, texts[k], patterns[i], replacements[(i + k) % 9], k % 3 == 0 ? "1" : k % 3 == 1 ? "-2" : "3");
	same(*state, "abc", "", "-", "4");
	same(*state, "abc", "", "-", "5");
	same(*state, "abc", "b", "-", "-100");
	same(*state, "abc", "b", "-", "0");
}

static void test_made_up(void **state)
{
	static const char *const parts[] = { "a", "b", ".", "%a", "%d", "%s", "%W", "[ab]", "[^a]", "[a-c1]", "(", ")", "()", "*", "+", "-", "?", "%b()", "%f[a]", "%1", "^", "$", "%", "[", "]" };
	static const char letters[] = "aab1 (b)c.";
	unsigned seed = 12345;
	for (int i = 0; i < 4000; i++) {
		char p[64] = "", s[32], init[8];
		size_t n = 0;
		for (unsigned k = 0, count = (seed = seed * 1103515245 + 12345) >> 16 & 7; k < count; k++)
			strcat(p, parts[((seed = seed * 1103515245 + 12345) >> 16) % (sizeof(parts) / sizeof(*parts))]);
		for (unsigned count = ((seed = seed * 1103515245 + 12345) >> 16) % 14; n < count; n++)
			s[n] = letters[((seed = seed * 1103515245 + 12345) >> 16) % (sizeof(letters) - 1)];
		s[n] = '\0';
		snprintf(init, sizeof(init), "%d", (int)((seed >> 20) % 9) - 4);
		same(*state, s, p, i % 2 ? "<%0>" : "%1", init);
	}
}

static int rep_own(lua_State *L)
{
	lua_settop(L, 0);
	assert_int_equal(luaL_loadstring(L, "return ('ab'):rep(3) == 'ababab' and ('ab'):rep(3, ',') == 'ab,ab,ab' and ('x'):rep(0) == '' and ('x'):rep(-1) == ''"
		" and ('x'):rep(1, ',') == 'x' and ('').rep('', 5) == '' and ('').rep('', 3, ',') == ',,' and ('a\\0'):rep(2) == 'a\\0a\\0'"), LUA_OK);
	sandbox_env(L);
	lua_setupvalue(L, 1, 1);
	lua_call(L, 0, 1);
	assert_true(lua_toboolean(L, -1));
	return 0;
}

static void test_rep(void **state)
{
	struct pair *both = *state;
	struct buf why = BUF_INIT;
	assert_int_equal(vm_run(both->vm, rep_own, NULL, 1, &why), 0);
	buf_fini(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_chosen), cmocka_unit_test(test_made_up), cmocka_unit_test(test_rep) };
	return cmocka_run_group_tests(tests, setup, teardown);
}
