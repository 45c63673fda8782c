-- fill: parameters that a message lacks, from the last message of the device that had them.
--
-- Devices tell of slow things (fuel, driver, mileage) seldom, and platforms want them with each position. What is known is kept with the time of
-- the message that told it: a message is filled only from what is older than itself and no older than `max-age`, and a late message
-- leaves newer knowledge alone. A null is told, not missing: it is sent as it is, and nothing is known from then on. All that is kept for a
-- device takes ROOM bytes at most; a value that does not fit is left out, and the log says so when that begins.
local A = {
  summary = "Fills parameters that a message lacks with the last known value of the device",
  options = {
    fields = {type = "array", items = {type = "parameter"}, required = true, minItems = 1, maxItems = 24, uniqueItems = true, description = "What is filled"},
    ["max-age"] = {type = "duration", default = "1h", description = "Values older than this, by timestamps, are not used"},
  },
  state = {last = "table"},
}

-- Of the 1024 bytes that all steps of a stream may keep together: beside it there is room for thin.
local ROOM = 560

-- item: {value, time}, {} (nothing known) or {false} (did not fit)
local function remember(last, i, value, at, name, ctx)
  local before = last[i]
  last[i] = {value, at}
  if #json.encode(last) > ROOM then
    last[i] = {false}
    if before[1] ~= false or before[2] then
      log.warn("ident", ctx.ident, name, "does not fit into what may be kept for a device, and is not filled until it does")
    end
  end
end

function A.transform(msg, ctx)
  local names, age, last, at = ctx.options.fields, ctx.options["max-age"], {}, msg.timestamp
  if type(at) ~= "number" then
    at = ctx.now
  end
  local had = ctx.state.last or {}
  for i = 1, #names do
    last[i] = had[i] or {}
  end
  for i, name in ipairs(names) do
    local value, known = msg[name], last[i]
    local from = known[2]
    if value == nil then
      if from and from <= at and at - from <= age then
        msg[name] = known[1]
      end
    elseif not from or at >= from then
      if value == json.null then
        last[i] = {}
      else
        remember(last, i, value, at, name, ctx)
      end
    end
  end
  ctx.state.last = last
  return msg
end

local function at(t, more)
  local m = {ident = "a", timestamp = t}
  for k, v in pairs(more or {}) do
    m[k] = v
  end
  return m
end

local fuel = {fields = {"fuel", "driver"}, ["max-age"] = "10m"}
local long = ("x"):rep(900)

A.vectors = {
  {"what is missing is filled, at the end", steps = {
    {"nothing known", transform = at(1000), options = fuel, want = at(1000)},
    {"told", transform = at(1010, {fuel = 63.5, driver = "D1"}), options = fuel, want = at(1010, {fuel = 63.5, driver = "D1"})},
    {"filled", transform = '{"ident":"a","timestamp":1020,"x":1.0}', options = fuel, want = '{"ident":"a","timestamp":1020,"x":1.0,"fuel":63.5,"driver":"D1"}'},
    {"one of them", transform = at(1030, {fuel = 0}), options = fuel, want = at(1030, {fuel = 0, driver = "D1"})},
    {"kept from each its own", transform = at(1040), options = fuel, want = at(1040, {fuel = 0, driver = "D1"})}}},
  {"not for longer than it may", steps = {
    {"told", transform = at(1000, {fuel = 1, driver = "D1"}), options = fuel, want = at(1000, {fuel = 1, driver = "D1"})},
    {"at the limit", transform = at(1600), options = fuel, want = at(1600, {fuel = 1, driver = "D1"})},
    {"behind it", transform = at(1600.5), options = fuel, want = at(1600.5)},
    {"told anew", transform = at(2000, {fuel = 2}), options = fuel, want = at(2000, {fuel = 2})},
    {"each has its own age", transform = at(2001), options = fuel, want = at(2001, {fuel = 2})}}},
  {"an hour unless told otherwise", steps = {
    {"told", transform = at(1000, {fuel = 1}), options = {fields = {"fuel"}}, want = at(1000, {fuel = 1})},
    {"an hour", transform = at(4600), options = {fields = {"fuel"}}, want = at(4600, {fuel = 1})},
    {"more", transform = at(4601), options = {fields = {"fuel"}}, want = at(4601)}}},
  {"null is told, and nothing is known from then on", steps = {
    {"told", transform = at(1000, {fuel = 1}), options = fuel, want = at(1000, {fuel = 1})},
    {"null", transform = at(1010, {fuel = json.null}), options = fuel, want = at(1010, {fuel = json.null})},
    {"unknown", transform = at(1020), options = fuel, want = at(1020)}}},
  {"a late message is not filled from the future, and does not overwrite it", steps = {
    {"told", transform = at(1000, {fuel = 5}), options = fuel, want = at(1000, {fuel = 5})},
    {"late", transform = at(900), options = fuel, want = at(900)},
    {"late, with a value", transform = at(950, {fuel = 7}), options = fuel, want = at(950, {fuel = 7})},
    {"live", transform = at(1010), options = fuel, want = at(1010, {fuel = 5})}}},
  {"texts, lists, true and false", steps = {
    {"told", transform = at(1000, {fuel = {1, "a", json.null}, driver = false}), options = fuel, want = at(1000, {fuel = {1, "a", json.null}, driver = false})},
    {"filled", transform = at(1001), options = fuel, want = at(1001, {fuel = {1, "a", json.null}, driver = false})}}},
  {"what does not fit is left out, and the rest is kept", steps = {
    {"too long", transform = at(1000, {fuel = 1, driver = long}), options = fuel, want = at(1000, {fuel = 1, driver = long})},
    {"the rest", transform = at(1001), options = fuel, want = at(1001, {fuel = 1})},
    {"it fits again", transform = at(1002, {driver = "D1"}), options = fuel, want = at(1002, {fuel = 1, driver = "D1"})},
    {"and is filled", transform = at(1003), options = fuel, want = at(1003, {fuel = 1, driver = "D1"})}}},
  {"times that are no numbers count as the time of arrival", transform = {ident = "a"}, now = 1000, options = fuel,
    state = {last = {{63, 900}, json.array{}}}, want = {ident = "a", fuel = 63}},
}

return A
