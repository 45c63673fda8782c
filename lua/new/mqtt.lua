-- NAME: which platform this is, and where its documentation stands.
--
-- Each message becomes the payload the platform wants to read (transform) and is published under a topic of its own (topic). The
-- examples at the end are run before the file is trusted: change them first.
local A = {
  summary = "One line for people: what NAME takes",
  transport = "mqtt",
  -- What a user may set on the destination, beside url; checked as the rest of the YAML is.
  options = {
    tenant = {type = "string", default = "fleet", pattern = "^[A-Za-z0-9_-]+$", description = "Where topics begin"},
  },
  -- What a subscription gives for each device: {"352093081234567": {key: …}}
  device = {key = {type = "string", description = "Name of the device at NAME; its ident unless given"}},
}

-- One message → a table, ready bytes, or nil and why it is not sent.
function A.transform(msg)
  if not geo.valid(msg["position.latitude"], msg["position.longitude"]) then
    return nil, "no position"
  end
  return {ts = msg.timestamp * 1000 // 1 | 0, lat = msg["position.latitude"], lon = msg["position.longitude"], speed = msg["position.speed"]}
end

-- The topic of what transform made of this message.
function A.topic(msg, ctx)
  return ctx.options.tenant .. "/" .. (ctx.device.key or msg.ident) .. "/position"
end

A.vectors = {
  {"a position", transform = {ident = "a", timestamp = 1767323045.25, ["position.latitude"] = 54.5, ["position.longitude"] = 25.25},
    want = {ts = 1767323045250, lat = 54.5, lon = 25.25}},
  {"nothing without a fix", transform = {ident = "a", timestamp = 1767323045}, skipped = "no position"},
}

return A
