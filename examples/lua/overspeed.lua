-- A transform: what a dispatcher wants to know of a message, and nothing else.
local A = {
  summary = "Speed, place and a flag for going too fast, instead of the whole message",
  options = { limit = { type = "number", default = 90, description = "km/h above which `fast` is true" } },
}

function A.transform(msg, ctx)
  local speed = msg["position.speed"]
  if not speed then
    return nil, "no speed in it"
  end
  return {
    device = msg["device.name"] or msg.ident,
    at = msg.timestamp,
    lat = msg["position.latitude"],
    lon = msg["position.longitude"],
    speed = speed,
    fast = speed > ctx.options.limit,
  }
end

A.vectors = {
  { "a slow one", transform = { ident = "1", timestamp = 10, ["position.speed"] = 50, ["position.latitude"] = 45.5, ["position.longitude"] = 13.25 },
    options = { limit = 90 },
    want = { device = "1", at = 10, lat = 45.5, lon = 13.25, speed = 50, fast = false } },
  { "a fast one, by another limit", transform = { ident = "1", timestamp = 10, ["device.name"] = "Truck", ["position.speed"] = 50 },
    options = { limit = 30 },
    want = { device = "Truck", at = 10, speed = 50, fast = true } },
  { "no speed", transform = { ident = "1" }, options = { limit = 90 }, skipped = "no speed in it" },
}

return A
