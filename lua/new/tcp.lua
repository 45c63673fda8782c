-- NAME: which platform this is, and where its documentation stands.
--
-- A connection begins with a login (hello); each message becomes a line (transform); what comes back says which were taken (reply).
-- The examples at the end are run before the file is trusted: change them first.
local A = {
  summary = "One line for people: what NAME takes",
  transport = "tcp",
  connection = "stream",                         -- or "device": a connection for each ident, which hello finds in ctx.ident
  -- What a user may set on the destination, beside url; checked as the rest of the YAML is.
  options = {
    password = {type = "secret", required = true, description = "Password that NAME gave out"},
  },
}

-- Bytes that a connection begins with.
function A.hello(ctx)
  return "LOGIN " .. ctx.options.password .. "\r\n"
end

-- One message → ready bytes, a table, or nil and why it is not sent.
function A.transform(msg)
  local lat, lon = msg["position.latitude"], msg["position.longitude"]
  if not geo.valid(lat, lon) then
    return nil, "no position"
  end
  return string.format("%s;%s;%.6f;%.6f\r\n", msg.ident, time.iso(msg.timestamp), lat, lon)
end

-- Bytes that came → how many were understood (the rest comes again with more behind it), and a verdict for each of the oldest messages
-- that have none yet.
function A.reply(bytes)
  local used, verdicts = 0, {}
  for line, stop in bytes:gmatch("([^\r\n]*)\r\n()") do
    used = stop - 1
    if line == "OK" then
      verdicts[#verdicts + 1] = "done"
    elseif line ~= "WELCOME" then
      verdicts[#verdicts + 1] = {"refused", line}
    end
  end
  return used, verdicts
end

A.vectors = {
  {"a position", transform = {ident = "a", timestamp = 1767323045, ["position.latitude"] = 54.5, ["position.longitude"] = 25.25},
    want = "a;2026-01-02T03:04:05Z;54.500000;25.250000\r\n"},
  {"nothing without a fix", transform = {ident = "a", timestamp = 1767323045}, skipped = "no position"},
}

return A
