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

    /// <summary>Returns the group's id, which may contain any characters. It is parsed from the raw path, since routing does not decode an
    /// escaped slash.</summary>
    public static string Group(HttpContext http)
    {
        const string Before = "/api/groups/";
        var target = http.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        var start = target.IndexOf(Before, StringComparison.OrdinalIgnoreCase);
        if (start < 0)
            return (string)http.Request.RouteValues["group"]!;
        var rest = target.AsSpan(start + Before.Length);
        var end = rest.IndexOfAny('/', '?');
        return Uri.UnescapeDataString(end < 0 ? rest : rest[..end]);
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
}
