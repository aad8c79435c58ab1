using System.Globalization;
using Microsoft.AspNetCore.Http.Features;

namespace OrleansMq.Gateways.Http;

/// <summary>The parts of a path that name a topic, a partition or a broker.</summary>
internal static class RouteValues
{
    /// <summary>Returns the topic's name; the broker decides whether the topic exists.</summary>
    public static string Topic(HttpContext http) =>
        // Routing decodes every escape except that of a slash. No topic's name has one, but errors should show the requested name.
        ((string)http.Request.RouteValues["topic"]!).Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);

    /// <summary>Returns topic and partition.</summary>
    /// <exception cref="RequestException">The partition is not a number.</exception>
    public static TopicPartition Partition(HttpContext http)
    {
        var text = (string)http.Request.RouteValues["partition"]!;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? new TopicPartition(Topic(http), number)
            : throw new RequestException($"Partition '{text}' in the path: expected a whole number from 0.");
    }

    /// <summary>Returns the group's id, which may contain any characters.</summary>
    public static string Group(HttpContext http) => RawSegment(http, "/api/groups/", 0) ?? (string)http.Request.RouteValues["group"]!;

    /// <summary>Returns the queue's name, which may contain any characters.</summary>
    public static string Queue(HttpContext http) => RawSegment(http, "/api/queues/", 2) ?? (string)http.Request.RouteValues["queue"]!;

    /// <summary>Returns the schedule's id, which may contain any characters.</summary>
    public static string Schedule(HttpContext http) =>
        RawSegment(http, "/api/schedules/", 1) ?? (string)http.Request.RouteValues["schedule"]!;

    /// <summary>Returns the transactional id, which may contain any characters.</summary>
    public static string Transaction(HttpContext http) =>
        RawSegment(http, "/api/transactions/", 0) ?? (string)http.Request.RouteValues["transaction"]!;

    /// <summary>Returns the user's name, which may contain any characters.</summary>
    public static string User(HttpContext http) => RawSegment(http, "/api/users/", 0) ?? (string)http.Request.RouteValues["user"]!;

    /// <summary>Returns the id of a queue's consumer.</summary>
    /// <exception cref="RequestException">It is not a UUID.</exception>
    public static Guid Consumer(HttpContext http)
    {
        var text = (string)http.Request.RouteValues["consumer"]!;
        return Guid.TryParseExact(text, "D", out var id)
            ? id
            : throw new RequestException($"Consumer '{text}' in the path: expected the id that attaching it has answered, a UUID.");
    }

    /// <summary>Returns a broker's id; the cluster decides whether the broker exists.</summary>
    /// <exception cref="RequestException">It is not a number.</exception>
    public static int Broker(HttpContext http)
    {
        var text = (string)http.Request.RouteValues["broker"]!;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new RequestException($"Broker '{text}' in the path: expected a whole number from 0.");
    }

    /// <summary>Returns a segment of the raw path, since routing does not decode an escaped slash. Null: the path does not begin
    /// so.</summary>
    /// <exception cref="RequestException">A segment is "." or "..": the path that was routed is another one.</exception>
    private static string? RawSegment(HttpContext http, string before, int index)
    {
        var target = http.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        RefuseDotSegments(target);
        var start = target.IndexOf(before, StringComparison.OrdinalIgnoreCase);
        if (start < 0)
            return null;
        var rest = target.AsSpan(start + before.Length);
        var query = rest.IndexOf('?');
        if (query >= 0)
            rest = rest[..query];
        for (; index > 0; index--)
        {
            var slash = rest.IndexOf('/');
            if (slash < 0)
                return null;
            rest = rest[(slash + 1)..];
        }
        var end = rest.IndexOf('/');
        return Uri.UnescapeDataString(end < 0 ? rest : rest[..end]);
    }

    private static void RefuseDotSegments(ReadOnlySpan<char> target)
    {
        var query = target.IndexOf('?');
        var path = query < 0 ? target : target[..query];
        foreach (var range in path.Split('/'))
        {
            // "%2e%2E" is the longest that means "..".
            if (path[range] is { Length: > 0 and <= 6 } segment && Uri.UnescapeDataString(segment) is "." or "..")
                throw new RequestException($"The path has the segment '{segment}', which means another path. Send the path without it; an "
                    + "id or name of dots alone cannot be in a path.");
        }
    }
}
