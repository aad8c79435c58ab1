using System.Globalization;
using Microsoft.AspNetCore.Http.Features;

namespace OrleansMq.Silo.Http;

/// <summary>The parts of a path that name a topic, a partition or a broker.</summary>
internal static class RouteValues
{
    /// <summary>The topic's name; whether there is such a topic is for the broker to say.</summary>
    public static string Topic(HttpContext http) =>
        // Routing decodes every escape but that of a slash, which no topic's name has: an error should show what was asked for.
        ((string)http.Request.RouteValues["topic"]!).Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);

    /// <summary>Topic and partition.</summary>
    /// <exception cref="RequestException">The partition is not a number.</exception>
    public static TopicPartition Partition(HttpContext http)
    {
        var text = (string)http.Request.RouteValues["partition"]!;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? new TopicPartition(Topic(http), number)
            : throw new RequestException($"Partition '{text}' in the path: expected a whole number from 0.");
    }

    /// <summary>The group's id, which may have any characters: read from the path as it was sent, since routing leaves an escaped slash as
    /// it is.</summary>
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

    /// <summary>A broker; whether there is such a broker is for the cluster to say.</summary>
    /// <exception cref="RequestException">It is not a number.</exception>
    public static int Broker(HttpContext http)
    {
        var text = (string)http.Request.RouteValues["broker"]!;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new RequestException($"Broker '{text}' in the path: expected a whole number from 0.");
    }
}
