-- thin: fewer messages of a device that says too often what has not changed.
--
-- Time is the messages' own, so a backlog is thinned as the same drive would have been live. A device that was out of reach sends what it
-- kept meanwhile beside what is new: messages older than the last one passed are thinned on a clock of their own (`late`), so that a
-- late track keeps its shape, and neither holds up the other. Nothing else is passed because it is late, nothing is dropped because of it.
-- A clock far in the future makes all that follows late: it is thinned all the same.
local A = {
  summary = "Passes one message in so much time for each device, and each change of the parameters that matter",
  options = {
    type = "object",
    properties = {
      every = {type = "duration", description = "A message passes when so much time, by timestamps, lies between it and the last one passed"},
      ["on-change"] = {type = "array", items = {type = "parameter"}, minItems = 1, maxItems = 16, uniqueItems = true,
        description = "Parameters of which any change passes the message at once; a message without the parameter is no change"},
    },
    anyOf = {{required = {"every"}}, {required = {"on-change"}}},
    additionalProperties = false,
  },
  state = {at = "number", late = "number", seen = "table"},
}

local LONGEST = 20

-- What is kept of a value: its JSON, or a digest where that is long, so that sixteen of them fit into the state.
local function mark_of(v)
  local whole = math.type(v) == "float" and math.tointeger(v)
  local text = json.encode(whole or v)
  if #json.encode(text) <= LONGEST then
    return text
  end
  return "#" .. crypto.base64(crypto.sha256(text)):sub(1, 16)
end

-- Has one of them another value than when a message last passed? What was never seen before is no change of it.
local function changed(msg, names, seen)
  local yes = false
  for i, name in ipairs(names) do
    local v = msg[name]
    local mark = v ~= nil and mark_of(v)
    if mark and seen[i] ~= mark then
      yes = yes or seen[i] ~= ""
      seen[i] = mark
    end
  end
  return yes
end

local function due(at, state, every)
  if not state.at then
    return true
  elseif not every then
    return false
  elseif at >= state.at then
    return at - state.at >= every
  end
  return state.at - at >= every and (not state.late or math.abs(at - state.late) >= every)
end

function A.transform(msg, ctx)
  local state, every, names = ctx.state, ctx.options.every, ctx.options["on-change"] or {}
  local at, first = msg.timestamp, not state.at
  if type(at) ~= "number" then
    at = ctx.now
  end
  local seen = {}
  for i = 1, #names do
    seen[i] = state.seen and state.seen[i] or ""
  end
  if not (changed(msg, names, seen) or due(at, state, every)) then
    return nil, every and string.format("thinned: within %g s of another", every) or "thinned: no change"
  end
  if #names > 0 then
    state.seen = seen
  end
  if first or at >= state.at then
    state.at = at
  else
    state.late = at
  end
  return msg
end

local function at(t, more)
  local m = {ident = "a", timestamp = t}
  for k, v in pairs(more or {}) do
    m[k] = v
  end
  return m
end

local half, io = {every = "30s"}, {every = "30s", ["on-change"] = {"ignition", "note"}}
local early, same = "thinned: within 30 s of another", "thinned: no change"

A.vectors = {
  {"one in thirty seconds", steps = {
    {"the first", transform = '{"ident":"a","timestamp":1000,"x":1.0}', options = half, want = '{"ident":"a","timestamp":1000,"x":1.0}'},
    {"too early", transform = at(1029.9), options = half, skipped = early},
    {"in time", transform = at(1030), options = half, want = at(1030)},
    {"counted from the one that passed", transform = at(1059), options = half, skipped = early},
    {"and again", transform = at(1060.5), options = half, want = at(1060.5)}}},
  {"a change passes at once, and begins the time anew", steps = {
    {"parked", transform = at(1000, {ignition = false}), options = io, want = at(1000, {ignition = false})},
    {"started", transform = at(1005, {ignition = true}), options = io, want = at(1005, {ignition = true})},
    {"running", transform = at(1010, {ignition = true}), options = io, skipped = early},
    {"not told of", transform = at(1012), options = io, skipped = early},
    {"a null is a value", transform = at(1015, {ignition = json.null}), options = io, want = at(1015, {ignition = json.null})},
    {"time is up", transform = at(1045, {ignition = json.null}), options = io, want = at(1045, {ignition = json.null})}}},
  {"what appears for the first time is no change, and is known from then on when the message passed", steps = {
    {"nothing", transform = at(1000), options = io, want = at(1000)},
    {"something", transform = at(1005, {note = "x"}), options = io, skipped = early},
    {"passed", transform = at(1030, {note = "x"}), options = io, want = at(1030, {note = "x"})},
    {"something else", transform = at(1035, {note = "y"}), options = io, want = at(1035, {note = "y"})}}},
  {"changes alone", steps = {
    {"the first", transform = at(1000, {din = 1}), options = {["on-change"] = {"din"}}, want = at(1000, {din = 1})},
    {"a day later", transform = '{"ident":"a","timestamp":87400,"din":1.0}', options = {["on-change"] = {"din"}}, skipped = same},
    {"changed", transform = at(87401, {din = 0}), options = {["on-change"] = {"din"}}, want = at(87401, {din = 0})}}},
  {"a late track is thinned on its own clock", steps = {
    {"live", transform = at(5000), options = half, want = at(5000)},
    {"late", transform = at(1000), options = half, want = at(1000)},
    {"late, too early", transform = at(1020), options = half, skipped = early},
    {"live, too early", transform = at(5020), options = half, skipped = early},
    {"late, in time", transform = at(1030), options = half, want = at(1030)},
    {"live, in time", transform = at(5030), options = half, want = at(5030)},
    {"late, close to what passed live", transform = at(5010), options = half, skipped = early}}},
  {"a clock in the future holds nothing up", steps = {
    {"2099", transform = at(4070908800), options = half, want = at(4070908800)},
    {"now", transform = at(1000), options = half, want = at(1000)},
    {"too early", transform = at(1010), options = half, skipped = early},
    {"in time", transform = at(1031), options = half, want = at(1031)}}},
  {"long values fit by their digest", steps = {
    {"long", transform = at(1000, {note = ("x"):rep(5000)}), options = io, want = at(1000, {note = ("x"):rep(5000)})},
    {"the same", transform = at(1001, {note = ("x"):rep(5000)}), options = io, skipped = early},
    {"another", transform = at(1002, {note = ("x"):rep(4999) .. "y"}), options = io, want = at(1002, {note = ("x"):rep(4999) .. "y"})}}},
  {"without a timestamp the time of arrival counts", steps = {
    {"first", transform = {ident = "a"}, now = 1000, options = half, want = {ident = "a"}},
    {"early", transform = {ident = "a"}, now = 1010, options = half, skipped = early},
    {"in time", transform = {ident = "a"}, now = 1030, options = half, want = {ident = "a"}}}},
}

return A
