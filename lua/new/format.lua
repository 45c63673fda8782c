-- NAME: who sends this, and where it is described.
--
-- A format of channels: `trackers: {type: http, listen: …, format: NAME}`. Here it is lines of "ident;time;latitude;longitude;speed".
-- The examples at the end are run before the file is trusted: change them first.
local A = {
  summary = "One line for people: what NAME sends",
  -- What a user may set under `with`; checked as the rest of the YAML is.
  options = {
    separator = {type = "string", default = ";", minLength = 1, maxLength = 1, description = "What stands between the values"},
  },
}

-- Bytes → a list of messages; nil and why if they are none of this format: then they are refused whole.
function A.decode(bytes, ctx)
  local messages = {}
  for line in bytes:gmatch("[^\r\n]+") do
    local v = csv.split(line, ctx.options.separator)
    if #v < 4 then
      return nil, "line " .. #messages + 1 .. " has fewer than four values"
    end
    messages[#messages + 1] = {ident = v[1], timestamp = time.parse(v[2]) or v[2], ["position.latitude"] = tonumber(v[3]),
      ["position.longitude"] = tonumber(v[4]), ["position.speed"] = tonumber(v[5])}
  end
  return messages
end

A.vectors = {
  {"two lines", decode = "a;2026-01-02T03:04:05Z;54.5;25.25;52\nb;1767323046;-1.5;2.5\n", want = {
    {ident = "a", timestamp = 1767323045, ["position.latitude"] = 54.5, ["position.longitude"] = 25.25, ["position.speed"] = 52},
    {ident = "b", timestamp = "1767323046", ["position.latitude"] = -1.5, ["position.longitude"] = 2.5}}},
  {"something else", decode = "hello", error = "line 1 has fewer than four values"},
}

return A
