-- NAME: which platform this is, and where its documentation stands.
--
-- Each message becomes what the platform wants to read (transform); a batch of them becomes one request (body, credentials); the
-- answer says what became of it (verdict). The examples at the end are run before the file is trusted: change them first.
local A = {
  summary = "One line for people: what NAME takes",
  transport = "http",
  -- What a user may set on the destination, beside url; checked as the rest of the YAML is.
  options = {
    ["api-key"] = {type = "secret", description = "Key that NAME gave out; sent as the header X-Api-Key"},
    moving = {type = "boolean", default = false, description = "Send only what moves"},
  },
  -- Messages joined to one body.
  body = {open = "[", separator = ",", close = "]", type = "application/json"},
  -- Keys of the stream that this platform likes otherwise than usual.
  defaults = {batch = {messages = 50}},
}

-- One message → a table, ready bytes, or nil and why it is not sent.
function A.transform(msg, ctx)
  local lat, lon, speed = msg["position.latitude"], msg["position.longitude"], msg["position.speed"]
  if not geo.valid(lat, lon) then
    return nil, "no position"
  end
  if ctx.options.moving and speed == 0 then
    return nil, "standing"
  end
  return {device = msg.ident, at = time.iso(msg.timestamp), lat = lat, lon = lon, speed = speed}
end

-- What goes with each request. A token that has to be fetched: see `credentials` and `token` in ADAPTERS.md.
function A.credentials(ctx)
  local key = ctx.options["api-key"]
  return {headers = key and {["X-Api-Key"] = key} or {}}
end

-- What the platform says in words. nil: judge by the status, as is done for plain http.
function A.verdict(answer)
  local said = answer.json()
  if type(said) == "table" and said.state == "busy" then
    return "retry", "NAME is busy"
  end
end

A.vectors = {
  {"a position", transform = {ident = "a", timestamp = 1767323045, ["position.latitude"] = 54.5, ["position.longitude"] = 25.25, ["position.speed"] = 52},
    want = {device = "a", at = "2026-01-02T03:04:05Z", lat = 54.5, lon = 25.25, speed = 52}},
  {"nothing without a fix", transform = {ident = "a", timestamp = 1767323045}, skipped = "no position"},
  {"standing still", transform = {ident = "a", ["position.latitude"] = 1.5, ["position.longitude"] = 2.5, ["position.speed"] = 0},
    options = {moving = true}, skipped = "standing"},
  {"busy", answer = {status = 200, body = '{"state":"busy"}'}, batch = {{id = "1"}}, want = "retry"},
}

return A
